"""Read a body as a value: JSON, a form, text, or otherwise bytes. Pure.

Reading never fails. Invalid JSON (malformed, truncated, nested too deeply, a number with 5,000 digits or beyond the
range of a float) is read as text; a body that does not match its charset or coding is read as bytes.
"""

from __future__ import annotations

import codecs
import hashlib
import html
from dataclasses import dataclass, field
from email.message import Message
from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qsl

from proxy.contract.payloads import PayloadError, is_json, parse_json
from proxy.types import JSON

Form = Literal["none", "json", "form", "multipart", "html", "text", "binary"]

MAX_DEPTH = 200
"""Maximum depth of JSON that is compared as JSON."""

_TEXTUAL = ("application/xml", "application/javascript", "application/x-ndjson")
_NO_CHARSETS = frozenset(("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"))
_PARTS = 1000


@dataclass(frozen=True, slots=True)
class Content:
    """A body's form and value.

    `value` is JSON for `json`, `form` (names to lists of texts) and `multipart` (a list of parts), text for `text` and
    `html` (its words), bytes for `binary`, None for `none`.
    """

    form: Form
    value: JSON | bytes = field(repr=False)

    @property
    def as_json(self) -> JSON:
        """Return the value; None for `binary`."""
        return None if isinstance(self.value, bytes) else self.value


def read(data: bytes, content_type: str) -> Content:
    """Read a body without content coding by its `Content-Type`. Never fails."""
    if not data:
        return Content("none", None)
    return Content(*_read(data, content_type))


@lru_cache(maxsize=256)
def media(content_type: str) -> tuple[str, str]:
    """Return the media type and the charset in lower case; the charset is empty if none is given."""
    kind, _, parameters = content_type.partition(";")
    charset = _parameter(parameters, "charset") if parameters else ""
    return kind.strip().lower(), charset.lower()


def is_utf8(data: bytes, content_type: str) -> bool:
    """Return whether a text is UTF-8 by its content type, and begins without a byte order mark."""
    return media(content_type)[1] in ("", "utf-8") and not data.startswith(codecs.BOM_UTF8)


def words(page: str) -> str:
    """Return the words of a page: without tags, entities resolved, white space collapsed."""
    head, *tagged = page.split("<")
    text = " ".join([head, *(part.partition(">")[2] for part in tagged)])
    return " ".join(html.unescape(text).split())


def _read(data: bytes, content_type: str) -> tuple[Form, JSON | bytes]:
    kind, charset = media(content_type)
    if kind == "multipart/form-data" or kind.startswith("multipart/"):
        return _multipart(data, content_type)
    text = _text(data, charset)
    if text is None:
        return "binary", data
    if is_json(kind):
        return _json(text)
    if kind == "application/x-www-form-urlencoded":
        return _form(text)
    if kind in ("text/html", "application/xhtml+xml"):
        return "html", words(text)
    if not kind or kind.startswith("text/") or kind.endswith("+xml") or kind in _TEXTUAL:
        return "text", text
    return "binary", data


def _text(data: bytes, charset: str) -> str | None:
    try:
        codec = codecs.lookup(charset or "utf-8")
        known = codec.name.replace("-", "_") not in _NO_CHARSETS
        name = "utf-8-sig" if not known or codec.name == "utf-8" else charset
        return data.decode(name)
    except (LookupError, UnicodeError):
        return None if not charset or charset.startswith("utf") else _text(data, "")


def _json(text: str) -> tuple[Form, JSON]:
    try:
        return "json", parse_json(text)
    except PayloadError:
        return "text", text


def _form(text: str) -> tuple[Form, JSON]:
    """Return fields by name (WHATWG URL, urlencoded parsing); a name may come more than once."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_PARTS, errors="surrogateescape")
    except ValueError:
        return "text", text
    fields: dict[str, list[JSON]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return "form", dict(fields)


def _multipart(data: bytes, content_type: str) -> tuple[Form, JSON | bytes]:
    """Return the parts between boundaries (RFC 2046 §5.1.1); a part within a part is bytes."""
    boundary = _parameter(content_type.partition(";")[2], "boundary").encode("latin-1", "replace")
    _, *parts = (b"\r\n" + data).split(b"\r\n--" + boundary, _PARTS) if boundary else [data]
    if not parts or not parts[-1].startswith(b"--"):
        return "binary", data
    return "multipart", [_part(part) for part in parts[:-1]]


def _part(part: bytes) -> JSON:
    head, _, body = part.partition(b"\r\n\r\n")
    headers: dict[str, JSON] = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name:
            headers[name.strip().lower()] = value.strip()
    kind = str(headers.get("content-type", ""))
    content = Content("binary", body) if kind.startswith("multipart/") else read(body, kind)
    parsed = _digest(content.value) if isinstance(content.value, bytes) else content.value
    return {"headers": headers, "form": content.form, "body": parsed}


def _digest(data: bytes) -> JSON:
    return {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _parameter(parameters: str, name: str) -> str:
    """Return a parameter of a content type, unquoted."""
    header = Message()
    header["content-type"] = f"x/x;{parameters}".replace("\r", " ").replace("\n", " ")
    value = header.get_param(name)
    return value if isinstance(value, str) else ""
