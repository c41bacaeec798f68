"""Value types of several resources: ids, texts, free JSON, pages."""

from typing import Annotated, Final, Generic, TypeVar

from bson import ObjectId
from fastapi import Depends, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from starlette.convertors import Convertor, register_url_convertor
from typing_extensions import TypeAliasType

from common.white_space import trim
from handlers.surrogates import well_formed

T = TypeVar("T")

HEXADECIMAL: Final = "[0-9a-fA-F]{24}"
_ID: Final = {"type": "string", "pattern": f"^{HEXADECIMAL}$", "examples": ["64b7f0f0f0f0f0f0f0f0f0f0"]}


def read_identity(value: object) -> ObjectId:
    """Return an id from itself or from its 24 hexadecimal digits; raises ValueError."""
    if isinstance(value, ObjectId):
        return value
    if isinstance(value, str) and len(value) == 24 and ObjectId.is_valid(value):
        return ObjectId(value)
    raise ValueError("must be an id: 24 hexadecimal digits")


Identity = Annotated[
    ObjectId, PlainValidator(read_identity), PlainSerializer(str, return_type=str), WithJsonSchema(_ID)
]

Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"[^\s\x00-\x1f\x7f-\x9f\ufeff]"),
    AfterValidator(trim),
]
"""A name or a heading: not only white space, which is trimmed."""

Prose = Annotated[
    str,
    StringConstraints(min_length=1, max_length=20_000, pattern=r"[^\s\x00-\x1f\x7f-\x9f\ufeff]"),
    AfterValidator(trim),
]
"""A longer text: not only white space, which is trimmed."""

OutsideText = Annotated[str, BeforeValidator(lambda text: well_formed(text) if isinstance(text, str) else text)]
"""A text of an outside service, in which lone surrogates, which UTF-8 does not have, are replaced."""

Key = Annotated[str, StringConstraints(pattern=r"^([^$\x00][^\x00]*)?$")]
Json = TypeAliasType(  # values that MongoDB can store: no keys with a leading `$`, 64-bit numbers
    "Json",
    "dict[Key, Json] | list[Json] | str | bool | "
    "Annotated[int, Field(ge=-(2**63), lt=2**63)] | Annotated[float, Field(allow_inf_nan=False)] | None",
)


class _IdConvertor(Convertor[str]):
    """`{note:id}` in a path: an id, so that `/consultations/start` does not match."""

    regex = HEXADECIMAL

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _IdConvertor())


class RequestModel(BaseModel):
    """A request body: no unknown fields, no type coercion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ResponseModel(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True)


class PageRange(BaseModel):
    """The requested part of a list."""

    limit: int
    offset: int


async def page_range(
    limit: Annotated[int, Query(ge=1, le=100, description="maximum number of items")] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="number of items to skip")] = 0,
) -> PageRange:
    """Return the query's `limit` and `offset`."""
    return PageRange(limit=limit, offset=offset)


Paging = Annotated[PageRange, Depends(page_range)]


class Page(ResponseModel, Generic[T]):
    """A part of a list, and the length of the whole list."""

    items: list[T]
    total: int
    limit: int
    offset: int
