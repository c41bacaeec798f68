"""Random faults in recorded answers, each with the path that a comparison must name.

A fault is a function of hypothesis's `draw` and an exchange. It returns the changed exchange and the path at, above or
below which every difference must be, or None if the exchange has nothing to change.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from proxy.comparison.exchange import Body, Exchange
from proxy.comparison.fields import shape
from proxy.comparison.headers import entity_tag
from proxy.types import ValuePath

Draw = Callable[[st.SearchStrategy[Any]], Any]
BODY: Final[ValuePath] = ("body",)
HEX: Final = "0123456789abcdef"


class Faulty(NamedTuple):
    """A changed exchange, and the path of the change."""

    exchange: Exchange
    path: ValuePath


Plant = Callable[[Draw, Exchange], Faulty | None]


class _DrawnError(Exception):
    """Raised for the first choice that a fault makes."""


def applies(plant: Plant, exchange: Exchange) -> bool:
    """Return True if an exchange has something that a fault can change."""

    def draw(strategy: object) -> None:
        raise _DrawnError

    try:
        return plant(draw, exchange) is not None
    except _DrawnError:
        return True


# -- the bytes of the body


def with_body(exchange: Exchange, body: bytes) -> Exchange:
    """Return an exchange with another body, and its entity tag if that was the hash of the body."""
    tags = {entity_tag(exchange.body.data).encode(): entity_tag(body).encode()}
    headers = tuple((name, tags.get(value, value) if name == b"etag" else value) for name, value in exchange.headers)
    return exchange._replace(body=Body.of(body), headers=headers)


def _bytes(change: Callable[[Draw, bytes], bytes]) -> Plant:
    """Return a fault that changes the bytes of a JSON body."""

    def plant(draw: Draw, exchange: Exchange) -> Faulty | None:
        if value_of(exchange) is None:
            return None
        body = change(draw, exchange.body.data)
        return Faulty(with_body(exchange, body), BODY) if body != exchange.body.data else None

    return plant


def _index(draw: Draw, data: bytes | str) -> int:
    return int(draw(st.integers(0, len(data) - 1)))


def _flip(draw: Draw, data: bytes) -> bytes:
    at = _index(draw, data)
    return data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :]


def _insert(draw: Draw, data: bytes) -> bytes:
    at = _index(draw, data)
    return data[:at] + bytes(draw(st.binary(min_size=1, max_size=3))) + data[at:]


def _delete(draw: Draw, data: bytes) -> bytes:
    at = _index(draw, data)
    return data[:at] + data[at + 1 :]


def _truncate(draw: Draw, data: bytes) -> bytes:
    return data[: _index(draw, data)]


TRAILING: Final = (b"\n", b" ", b"\0", b"\r\n\r\n", b"0\r\n\r\n", b",", b"}", b"null", b"\xff")


def _append(draw: Draw, data: bytes) -> bytes:
    return data + bytes(draw(st.sampled_from(TRAILING)))


def _repeat_first_member(draw: Draw, data: bytes) -> bytes:
    value = json.loads(data)
    if not isinstance(value, dict) or not value:
        return data
    name, first = next(iter(value.items()))
    again = draw(st.sampled_from((first, None, 1)))
    return b"{" + _compact(name) + b":" + _compact(again) + b"," + data[1:]


def _escape(draw: Draw, data: bytes) -> bytes:
    text = data.decode()
    letters = [index for index, letter in enumerate(text) if letter.isalpha() and text[index - 1] != "\\"]
    inside = [index for index in letters if text[:index].count('"') % 2]
    if not inside or "\\" in text:
        return data
    at = draw(st.sampled_from(inside))
    return f"{text[:at]}\\u{ord(text[at]):04x}{text[at + 1 :]}".encode()


def _in_other_layout(draw: Draw, data: bytes) -> bytes:
    indent, ascii_only = draw(st.sampled_from((None, 0, 2))), draw(st.booleans())
    return json.dumps(json.loads(data), indent=indent, ensure_ascii=ascii_only).encode()


def _in_other_encoding(draw: Draw, data: bytes) -> bytes:
    return data.decode().encode(str(draw(st.sampled_from(("utf-16", "utf-16-le", "utf-32", "utf-8-sig")))))


# -- the values of the body


def value_of(exchange: Exchange) -> Any:
    """Return the JSON object or array of an exchange's answer, None if it has none."""
    kind = dict(exchange.headers).get(b"content-type", b"")
    if not kind.startswith(b"application/json") or not exchange.body.data:
        return None
    value = json.loads(exchange.body.data)
    return value if isinstance(value, dict | list) else None


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def nodes(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield every node of a value with its path, the root first."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield from nodes(item, (*path, step))


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _node(suits: Callable[[Any], bool], change: Callable[[Draw, Any], Any]) -> Plant:
    """Return a fault that replaces a suitable node, and changes it in place if `change` returns the node itself."""

    def plant(draw: Draw, exchange: Exchange) -> Faulty | None:
        value = value_of(exchange)
        paths = [path for path, node in nodes(value) if suits(node)]
        if value is None or not paths:
            return None
        path = draw(st.sampled_from(paths))
        changed = change(draw, at(value, path))
        if path:
            at(value, path[:-1])[path[-1]] = changed
        else:
            value = changed
        body = _compact(value)
        return Faulty(with_body(exchange, body), shape(("body", *path))) if body != exchange.body.data else None

    return plant


def _is_text(node: Any) -> bool:
    return isinstance(node, str)


def _is_number(node: Any) -> bool:
    return isinstance(node, int | float) and not isinstance(node, bool)


def _has(kind: type[Any], length: int) -> Callable[[Any], bool]:
    return lambda node: type(node) is kind and len(node) >= length


def _is_id(node: Any) -> bool:
    return isinstance(node, str) and len(node) == 24 and set(node) <= set(HEX)


def _is_date(node: Any) -> bool:
    return isinstance(node, str) and len(node) == 24 and node[10] == "T" and node.endswith("Z")


def _other_scalar(draw: Draw, node: Any) -> Any:
    scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=9))
    return draw(scalars.filter(lambda one: repr(one) != repr(node)))


def _other_digit(draw: Draw, node: str) -> str:
    index = _index(draw, node)
    digit = str(draw(st.sampled_from([one for one in HEX if one != node[index]])))
    return node[:index] + digit + node[index + 1 :]


def _other_text(draw: Draw, node: str) -> Any:
    changes: tuple[Callable[[str], Any], ...] = (
        lambda text: text + " ",
        lambda text: " " + text,
        lambda text: text.swapcase(),
        lambda text: text + "\u200b",
        lambda text: text.replace(" ", "\u00a0"),
        lambda text: text + "\ud800",
        lambda text: unicodedata.normalize("NFD", text + "\u00e9"),
        lambda text: text.encode().decode("latin-1") + "\u00c3",
        lambda text: [text],
        lambda text: text[:-1],
        lambda text: text.replace("a", "\u0430"),
    )
    return draw(st.sampled_from(changes))(node)


def _other_number(draw: Draw, node: float) -> Any:
    changes: tuple[Callable[[float], Any], ...] = (
        lambda number: number + 1,
        lambda number: -number if number else -0.0,
        float if isinstance(node, int) else int,
        str,
        bool,
        lambda number: number + 2**53 + 1,
        lambda number: int(number) * 10**25 + 1,
        lambda number: 1e400,
        lambda number: float("nan"),
    )
    return draw(st.sampled_from(changes))(node)


def _other_date(draw: Draw, node: str) -> str:
    spellings = (node[:-1] + "+00:00", node[:-5] + "Z", node[:-1] + "000Z", node[:-1], node.replace("T", " "))
    later = node[:-2] + ("0" if node[-2] != "0" else "1") + "Z"
    return str(draw(st.sampled_from((*spellings, later))))


def _without_member(draw: Draw, node: dict[str, Any]) -> dict[str, Any]:
    dropped = draw(st.sampled_from(list(node)))
    return {name: item for name, item in node.items() if name != dropped}


def _with_member(draw: Draw, node: dict[str, Any]) -> dict[str, Any]:
    return {**node, draw(st.text(max_size=5).filter(lambda name: name not in node)): draw(st.none() | st.just({}))}


def _renamed_member(draw: Draw, node: dict[str, Any]) -> dict[str, Any]:
    old = draw(st.sampled_from(list(node)))
    new = draw(st.sampled_from((old.swapcase() + "_", old + " ", "_" + old)))
    return {new if name == old else name: item for name, item in node.items()}


def _reordered(draw: Draw, node: Any) -> Any:
    if isinstance(node, dict):
        members = list(node.items())
        return dict(draw(st.permutations(members).filter(lambda other: other != members)))
    return draw(st.permutations(node).filter(lambda other: other != node))


def _without_item(draw: Draw, node: list[Any]) -> list[Any]:
    index = draw(st.integers(0, len(node) - 1))
    return node[:index] + node[index + 1 :]


def _with_item_twice(draw: Draw, node: list[Any]) -> list[Any]:
    return [*node, draw(st.sampled_from(node))]


# -- status and headers


def _other_status(draw: Draw, exchange: Exchange) -> Faulty:
    statuses = st.integers(100, 599).filter(lambda status: status != exchange.status)
    return Faulty(exchange._replace(status=draw(statuses)), ("status",))


def _reset(draw: Draw, exchange: Exchange) -> Faulty:
    cut = Body.of(exchange.body.data[: len(exchange.body.data) // 2])
    return Faulty(exchange._replace(outcome=draw(st.sampled_from(("reset", "hang"))), body=cut), ("outcome",))


IGNORED: Final = (b"date", b"connection", b"content-length", b"keep-alive", b"transfer-encoding", b"x-request-id")
SETS: Final = (b"vary", b"allow", b"access-control-expose-headers", b"access-control-allow-methods")


def _header(change: Callable[[Draw, bytes], list[bytes]], *spared: bytes) -> Plant:
    """Return a fault that changes the value of a compared header by `change`, except for those in `spared`."""

    def plant(draw: Draw, exchange: Exchange) -> Faulty | None:
        names = [name for name, _ in exchange.headers if name not in (*IGNORED, *spared)]
        if not names:
            return None
        name = draw(st.sampled_from(names))
        headers = tuple(
            (each, part)
            for each, value in exchange.headers
            for part in (change(draw, value) if each == name else [value])
        )
        return Faulty(exchange._replace(headers=headers), ("header", name.decode()))

    return plant


def _other_value(draw: Draw, value: bytes) -> list[bytes]:
    return [draw(st.sampled_from((value + b"x", b"", b"x-" + value, value[1:] + b"q", value + b"; a=b")))]


def _new_header(draw: Draw, exchange: Exchange) -> Faulty:
    name = draw(st.sampled_from(("x-new", "retry-after", "cache-control-2", "content-language", "link")))
    headers = (*exchange.headers, (name.encode(), b"gzip"))
    return Faulty(exchange._replace(headers=headers), ("header", name))


def with_cookies(exchange: Exchange, *cookies: bytes) -> Exchange:
    """Return the exchange with these cookies in place of its own."""
    others = tuple(header for header in exchange.headers if header[0] != b"set-cookie")
    return exchange._replace(headers=(*others, *((b"set-cookie", cookie) for cookie in cookies)))


COOKIES: Final = (b"sid=a; Path=/A; HttpOnly", b"sid=b; Path=/A; HttpOnly", b"theme=dark; SameSite=Lax")
OTHER_COOKIES: Final = (
    (COOKIES[1], COOKIES[0], COOKIES[2]),
    COOKIES[:2],
    (*COOKIES, COOKIES[2]),
    (b"sid=a; Path=/a; HttpOnly", *COOKIES[1:]),
    (b"sid=a; Path=/A", *COOKIES[1:]),
    (*COOKIES[:2], b"theme=dark; SameSite=None"),
    (*COOKIES[:2], b"theme=DARK; SameSite=Lax"),
    (*COOKIES[:2], b"theme=dark; SameSite=Lax; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
)

FAULTS: Final[dict[str, Plant]] = {
    "flipped byte": _bytes(_flip),
    "inserted bytes": _bytes(_insert),
    "deleted byte": _bytes(_delete),
    "truncated": _bytes(_truncate),
    "trailing bytes": _bytes(_append),
    "empty body": _bytes(lambda draw, data: b""),
    "byte order mark": _bytes(lambda draw, data: b"\xef\xbb\xbf" + data),
    "other encoding": _bytes(_in_other_encoding),
    "other layout": _bytes(_in_other_layout),
    "other escape": _bytes(_escape),
    "name twice": _bytes(_repeat_first_member),
    "body twice": _bytes(lambda draw, data: data + data),
    "other scalar": _node(lambda node: not isinstance(node, dict | list), _other_scalar),
    "null": _node(lambda node: node is not None, lambda draw, node: None),
    "other text": _node(_is_text, _other_text),
    "other number": _node(_is_number, _other_number),
    "boolean flipped": _node(lambda node: isinstance(node, bool), lambda draw, node: not node),
    "boolean as number": _node(lambda node: isinstance(node, bool), lambda draw, node: int(node)),
    "digit of an id": _node(_is_id, _other_digit),
    "date": _node(_is_date, _other_date),
    "member missing": _node(_has(dict, 1), _without_member),
    "member added": _node(_has(dict, 0), _with_member),
    "member renamed": _node(_has(dict, 1), _renamed_member),
    "members reordered": _node(_has(dict, 2), _reordered),
    "item missing": _node(_has(list, 1), _without_item),
    "item twice": _node(_has(list, 1), _with_item_twice),
    "items reordered": _node(_has(list, 2), _reordered),
    "items in an object": _node(_has(list, 0), lambda draw, node: {"items": node}),
    "object in a list": _node(_has(dict, 0), lambda draw, node: [node]),
    "status": _other_status,
    "broken off": _reset,
    "header dropped": _header(lambda draw, value: []),
    "header twice": _header(lambda draw, value: [value, value], *SETS),
    "header value": _header(_other_value),
    "header added": _new_header,
    "cookies": lambda draw, exchange: Faulty(
        with_cookies(exchange, *draw(st.sampled_from(OTHER_COOKIES))), ("header", "set-cookie")
    ),
}
"""Faults by name. Legacy's answer to `cookies` sets COOKIES."""
