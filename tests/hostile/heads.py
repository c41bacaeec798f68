"""Hostile heads: targets, headers, cookies and tokens that are costly to read."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator

from tests.hostile.person import Person
from tests.hostile.request import HostileRequest
from tests.support.backends import SECRET


def hostile_heads(person: Person) -> Iterator[HostileRequest]:
    """Yield requests whose target, headers, cookies or token are hostile."""
    long = 14_000
    for name, text in (
        ("escapes", "%41" * (long // 3)),
        ("bad escapes", "%ff" * (long // 3)),
        ("broken escapes", "%" * long),
        ("pairs", "&a" * (long // 2)),
        ("one key", "email=a&" * (long // 8)),
        ("pluses", "+" * long),
        ("slashes", "/" * long),
        ("digits", "1" * long),
    ):
        token = {"authorization": f"Bearer {text}"}
        yield HostileRequest(f"query of {name}", "GET", f"/users/users/checkEmail?email={text}")
        yield HostileRequest(f"path of {name}", "GET", f"/{text}")
        yield HostileRequest(f"note's path of {name}", "GET", f"/api/notes/{text}", person.headers)
        yield HostileRequest(
            f"type of {name}", "POST", "/users/login", {"content-type": f"application/json;{text}"}, b"{}"
        )
        yield HostileRequest(f"token of {name}", "GET", "/users/profile", token)
        yield HostileRequest(f"v1 token of {name}", "GET", "/api/v1/users/profile", token)
        yield HostileRequest(f"cookie of {name}", "GET", "/api/v1/users/profile", {"cookie": text})
        yield HostileRequest(f"tag of {name}", "GET", "/", {"if-none-match": f'"{text},'})
    for name, headers in header_sets(long):
        for path in ("/", "/users/profile", "/api/v1/users/profile"):
            yield HostileRequest(f"headers: {name}", "GET", path, headers)
    for name, header in (("brackets", b"[" * 9_000), ("deep", b"[" * 4_500 + b"]" * 4_500), ("text", b'"' * 9_000)):
        for head, payload in ((header, b"{}"), (b'{"alg":"HS256","typ":"JWT"}', header)):
            token = {"authorization": f"Bearer {signed(head, payload)}"}
            yield HostileRequest(f"token's {name}", "GET", "/users/profile", token)
            yield HostileRequest(f"v1 token's {name}", "GET", "/api/v1/users/profile", token)


def header_sets(size: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Return sets of headers of about `size` bytes in all, by name."""
    yield "many", {f"x-{number}": "a" for number in range(size // 16)}
    yield "cookies", {"cookie": "; ".join(f"c{number}=v" for number in range(size // 9))}
    yield "one cookie many times", {"cookie": "scribe_side=x;" * (size // 14)}
    yield "no cookies", {"cookie": ";" * size}
    yield "addresses", {"x-forwarded-for": ", ".join(["10.0.0.1"] * (size // 10)), "forwarded": "for=1;" * (size // 12)}
    yield "tags", {"if-none-match": ", ".join(['W/"a"'] * (size // 7))}
    yield "codings", {"accept-encoding": ", ".join(["gzip;q=0.1"] * (size // 12)), "accept": "a/*;q=0," * (size // 20)}
    yield "ranges", {"range": "bytes=" + "0-1," * (size // 4)}
    yield "quotes", {"content-type": 'application/json;a="' + '\\"' * (size // 2)}
    yield "origin", {"origin": "http://" + "a." * (size // 2)}


def signed(header: bytes, payload: bytes) -> str:
    """Return a token of any two parts with a valid signature."""
    text = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, payload))
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha256"))
    return f"{text}.{signature.rstrip(b'=').decode()}"
