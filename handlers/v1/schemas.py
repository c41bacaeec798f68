"""Kinds of values that several resources take or give: ids, texts, free JSON, pages."""

from typing import Annotated, Final, Generic, TypeVar

from bson import ObjectId
from fastapi import Depends, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from starlette.convertors import Convertor, register_url_convertor
from typing_extensions import TypeAliasType

from handlers.white_space import trim

T = TypeVar("T")

HEXADECIMAL: Final = "[0-9a-fA-F]{24}"
_ID: Final = {"type": "string", "pattern": f"^{HEXADECIMAL}$", "examples": ["64b7f0f0f0f0f0f0f0f0f0f0"]}


def read_identity(value: object) -> ObjectId:
    """An id, or the 24 hexadecimal digits of one; raises ValueError."""
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
"""A name or a heading: more than white space, which goes from around it."""

Prose = Annotated[
    str,
    StringConstraints(min_length=1, max_length=20_000, pattern=r"[^\s\x00-\x1f\x7f-\x9f\ufeff]"),
    AfterValidator(trim),
]
"""A text somebody writes: the same, longer."""

Key = Annotated[str, StringConstraints(pattern=r"^([^$\x00][^\x00]*)?$")]
Json = TypeAliasType(  # what MongoDB can hold: keys without `$` in front, numbers in 64 bits
    "Json",
    "dict[Key, Json] | list[Json] | str | bool | "
    "Annotated[int, Field(ge=-(2**63), lt=2**63)] | Annotated[float, Field(allow_inf_nan=False)] | None",
)


class _IdConvertor(Convertor[str]):
    """`{note:id}` in a path: an id, so that `/consultations/start` is nobody's."""

    regex = HEXADECIMAL

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _IdConvertor())


class RequestModel(BaseModel):
    """What a client sends: nothing that is not asked for, and each value of its kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ResponseModel(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(frozen=True)


class PageRange(BaseModel):
    """Which part of a list is wanted."""

    limit: int
    offset: int


async def page_range(
    limit: Annotated[int, Query(ge=1, le=100, description="how many to give")] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="how many to leave out before them")] = 0,
) -> PageRange:
    """The query's `limit` and `offset`."""
    return PageRange(limit=limit, offset=offset)


Paging = Annotated[PageRange, Depends(page_range)]


class Page(ResponseModel, Generic[T]):
    """A part of a list, and how long the whole is."""

    items: list[T]
    total: int
    limit: int
    offset: int
