"""A body as the value that a schema speaks of: JSON parsed, anything else as text. Whatever it holds, no crash."""

from __future__ import annotations

import json
import math
from typing import NoReturn

from proxy.types import JSON


class PayloadError(ValueError):
    """A body that is not what its content type says; the message holds nothing of it."""


def media_type(content_type: str) -> str:
    """`application/json` of `Application/JSON; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()


def is_json(media: str) -> bool:
    """Whether bodies of a media type are JSON (RFC 6839: `application/problem+json` too)."""
    return media.rpartition("/")[2] == "json" or media.endswith("+json")


def read_payload(content_type: str, body: bytes) -> JSON:
    """The value of a body whose content coding has been undone. Raises PayloadError."""
    text = _decode(content_type, body)
    return _parse(text) if is_json(media_type(content_type)) else text


def _decode(content_type: str, body: bytes) -> str:
    charset = next(
        (
            value.strip(" \"'")
            for name, _, value in (part.partition("=") for part in content_type.split(";")[1:])
            if name.strip().lower() == "charset"
        ),
        "utf-8",
    )
    try:
        return body.decode(charset)
    except LookupError:
        raise PayloadError("is in a charset that nobody knows") from None
    except UnicodeError:
        raise PayloadError("is not in the charset that it claims") from None


def _parse(text: str) -> JSON:
    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite)  # type: ignore[no-any-return]
    except PayloadError:
        raise
    except ValueError:
        raise PayloadError("is not JSON") from None
    except RecursionError:
        raise PayloadError("is nested too deep to be read") from None


def finite(text: str) -> float:
    """A number of JSON. Raises PayloadError where it is greater than a float can be."""
    number = float(text)
    if math.isinf(number):
        raise PayloadError("holds a number that no reader can keep")
    return number


def refuse(constant: str) -> NoReturn:
    """NaN and the infinities, which JSON does not have. Raises PayloadError."""
    raise PayloadError("is not JSON")
