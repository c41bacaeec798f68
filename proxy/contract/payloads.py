"""Read a body as the value that a schema describes: parsed JSON, or text. Any input is handled without a crash."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Final, NoReturn

from pydantic_core import from_json

from proxy.types import JSON

_DIGITS: Final = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS: Final = b"0" * 200
"""Number of digits from which a number may be too great for a float without an exponent of three digits."""


class PayloadError(ValueError):
    """A body that does not match its content type. The message contains nothing of the body."""


def media_type(content_type: str) -> str:
    """Return `application/json` for `Application/JSON; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()


def is_json(media: str) -> bool:
    """Return whether bodies of a media type are JSON (RFC 6839: `application/problem+json` too)."""
    return media.endswith(("/json", "+json"))


def read_payload(content_type: str, body: bytes) -> JSON:
    """Return the value of a body without content coding. Raises PayloadError."""
    text = _decode(content_type, body)
    return parse_json(text) if is_json(media_type(content_type)) else text


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
        raise PayloadError("is in an unknown charset") from None
    except UnicodeError:
        raise PayloadError("is not in its declared charset") from None


def parse_json(text: str) -> JSON:
    """Return the value of strict JSON (RFC 8259); of a name that an object has twice, the last value.

    Raises PayloadError for anything else, for numbers that are too great for a float, and for text that is nested too
    deep.
    """
    if not _may_overflow(text):
        with suppress(ValueError):  # lone surrogates, deep nesting, or not JSON: the other parser decides
            return from_json(text, allow_inf_nan=False)  # type: ignore[no-any-return]
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)  # type: ignore[no-any-return]
    except PayloadError:
        raise
    except ValueError:
        raise PayloadError("is not JSON") from None
    except RecursionError:
        raise PayloadError("is nested too deep to be read") from None


def _may_overflow(text: str) -> bool:
    """Return whether a text may contain a number too great for a float, which the fast parser reads as infinity."""
    digits = text.encode("utf-8", "replace").translate(_DIGITS, b"+")
    return digits.rfind(b"0e000") >= 0 or _MANY_DIGITS in digits  # in reverse, because there are more zeros than e


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise PayloadError("holds a number too great for a float")
    return number


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and the infinities, which JSON does not have."""
    raise PayloadError("is not JSON")
