"""Infer OpenAPI operations from samples, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from proxy.contract.payloads import PayloadError, is_json, media_type, read_payload
from proxy.gateway.patterns import Parameter, Pattern
from proxy.inference.inferred_schema import InferredSchema
from proxy.inference.samples import Observed, ObservedSample
from proxy.types import JSON

TRANSPORT: Final = frozenset(
    ("connection", "content-encoding", "content-length", "content-type", "date", "keep-alive", "proxy-connection",
     "server", "te", "trailer", "transfer-encoding", "upgrade", "via", "x-request-id", "x-served-by")
)  # fmt: skip
"""Response headers of the connection, the moment or a gateway, and the content type, which `content` describes."""


@dataclass(slots=True)
class Field:
    """The values of a header or parameter, and the number of messages without it."""

    shape: InferredSchema = field(default_factory=InferredSchema)
    absent: int = 0

    @property
    def required(self) -> bool:
        """True if every message had it."""
        return self.absent == 0


@dataclass(slots=True)
class ObservedAnswer:
    """All answers of one status."""

    headers: dict[str, Field]
    media: dict[str, InferredSchema]


@dataclass(slots=True)
class ObservedRequest:
    """All accepted requests; if none was accepted, all that were not refused with 401."""

    path: dict[str, InferredSchema]
    query: dict[str, Field]
    media: dict[str, InferredSchema]
    bodies_always: bool
    bearer: bool


def answers(observed: Observed) -> dict[str, ObservedAnswer]:
    """Return the answers by status."""
    by_status: dict[str, list[ObservedSample]] = {}
    for sample in observed.answered:
        by_status.setdefault(sample.status, []).append(sample)
    return {status: _answer(some) for status, some in sorted(by_status.items())}


def request(observed: Observed) -> ObservedRequest:
    """Return the requests that were sent."""
    some = _representative(observed)
    bodied = [sample for sample in some if sample.request.body]
    query = [dict(parse_qsl(sample.request.target.partition("?")[2], keep_blank_values=True)) for sample in some]
    return ObservedRequest(
        path=_path_values(observed, some),
        query=_fields(query),
        media=_media((_content_type(sample.request.headers), sample.request.body or b"") for sample in bodied),
        bodies_always=bool(some) and len(bodied) == len(some),
        bearer=bool(some) and all(_is_bearer(sample) for sample in some),
    )


def describe_answer(status: str, answer: ObservedAnswer) -> dict[str, JSON]:
    """Return an OpenAPI response object, without its headers."""
    result: dict[str, JSON] = {"description": phrase(status)}
    if answer.media:
        result["content"] = {media: {"schema": shape.schema()} for media, shape in answer.media.items()}
    return result


def header_values(everything: Iterable[Observed]) -> dict[str, InferredSchema]:
    """Return each header's values over all answers; only a header with one value everywhere is a constant."""
    result: dict[str, InferredSchema] = {}
    for observed in everything:
        for sample in observed.answered:
            for name, value in sample.answer.headers.items():
                result.setdefault(name, InferredSchema()).add(value)
    return result


def describe_header(header: Field, everywhere: InferredSchema) -> dict[str, JSON]:
    """Return an OpenAPI header object."""
    constant = len(everywhere.texts) == 1 and everywhere.kinds["string"] > 1
    schema: JSON = {"type": "string", "const": next(iter(everywhere.texts))} if constant else {"type": "string"}
    return {**({"required": True} if header.required else {}), "schema": schema}


def describe_body(observed_request: ObservedRequest) -> dict[str, JSON]:
    """Return an OpenAPI request body object."""
    content: JSON = {media: {"schema": shape.schema()} for media, shape in observed_request.media.items()}
    return {**({"required": True} if observed_request.bodies_always else {}), "content": content}


def describe_parameter(location: str, name: str, result: Field) -> dict[str, JSON]:
    """Return an OpenAPI parameter object, in `path` or `query`."""
    required: dict[str, JSON] = {"required": True} if result.required or location == "path" else {}
    return {"name": name, "in": location, **required, "schema": result.shape.schema()}


def frames(observed: Observed) -> dict[str, InferredSchema]:
    """Return a WebSocket's frames by direction."""
    return {direction: InferredSchema(values) for direction, values in observed.frames.items() if values}


def title(name: str) -> str:
    """Return a header's usual spelling: `ETag`, `X-Powered-By`."""
    return {"etag": "ETag", "www-authenticate": "WWW-Authenticate"}.get(name, name.title())


def phrase(status: str) -> str:
    """Return the reason phrase of a status."""
    try:
        return HTTPStatus(int(status)).phrase
    except ValueError:
        return f"Status {status}"


def _answer(some: list[ObservedSample]) -> ObservedAnswer:
    own_headers = [{name: value for name, value in one.answer.headers.items() if name not in TRANSPORT} for one in some]
    bodied = [sample.answer for sample in some if sample.answer.body]
    return ObservedAnswer(
        _fields(own_headers), _media((one.headers.get("content-type", ""), one.body) for one in bodied)
    )


def _fields(rows: list[dict[str, str]]) -> dict[str, Field]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _field([row.get(name) for row in rows]) for name in names}


def _field(values: list[str | None]) -> Field:
    given = [value for value in values if value is not None]
    return Field(InferredSchema(given), len(values) - len(given))


def _media(bodies: Iterable[tuple[str, bytes]]) -> dict[str, InferredSchema]:
    result: dict[str, InferredSchema] = {}
    for content_type, body in bodies:
        shape = result.setdefault(media_type(content_type) or "application/octet-stream", InferredSchema())
        for value in _value(content_type, body):
            shape.add(value)
    return result


def _value(content_type: str, body: bytes) -> Iterator[JSON]:
    """Yield the body's value; nothing for bodies that a schema cannot describe."""
    media = media_type(content_type)
    if is_json(media) or media.startswith("text/"):
        try:
            yield read_payload(content_type, body)
        except PayloadError:
            return


def _representative(observed: Observed) -> list[ObservedSample]:
    answered = observed.answered
    accepted = [sample for sample in answered if sample.answer.status < 400]
    return accepted or [sample for sample in answered if sample.answer.status != 401]


def _path_values(observed: Observed, some: list[ObservedSample]) -> dict[str, InferredSchema]:
    segments = Pattern.parse(f"GET {observed.operation.template}").segments if observed.samples else ()
    result: dict[str, InferredSchema] = {}
    for index, segment in enumerate(segments):
        if isinstance(segment, Parameter):
            paths = (sample.request.target.partition("?")[0].split("/") for sample in some)
            result[segment.name] = InferredSchema(pieces[index + 1] for pieces in paths)
    return result


def _content_type(headers: Iterable[tuple[str, str]]) -> str:
    return dict(headers).get("content-type", "")


def _is_bearer(sample: ObservedSample) -> bool:
    headers: Mapping[str, str] = dict(sample.request.headers)
    return headers.get("authorization", "").lower().startswith("bearer ")
