"""The base class of all sections of routing.yaml."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

K = TypeVar("K")
V = TypeVar("V")
S = TypeVar("S", bound="Section")


class HashableDict(dict[K, V]):
    """An immutable mapping of values by name, hashable like the rest of a configuration."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))


class Section(BaseModel):
    """A mapping in the file. Unknown keys are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def section_default(section: type[S]) -> S:
    """Return a section with its defaults alone, as a field's default.

    Nothing is validated, so that importing the models builds no validator, which would take longer than reading a file.
    """
    return section.model_construct()


def section_keys(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a section by their keys in the file."""
    return {field.alias or name: field for name, field in section.model_fields.items()}
