"""Faults that a client sees and a parsed value does not show, named alike in reads, dry runs and recordings."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Final

import brotli  # type: ignore[import-untyped]
import pytest

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.comparison.modes import DRY_RUN, READ, Mode
from proxy.comparison.verdicts import Difference
from proxy.recordings.comparing import compare_answers
from tests.support.exchanges import KIND, NOW, exchange

TEXT, HTML, FORM = "text/plain", "text/html; charset=utf-8", "application/x-www-form-urlencoded"
BOM: Final = b"\xef\xbb\xbf"
PAGE: Final = b'<p class="a"><a href="/login">Sign in</a> now</p>'
BODY: Final = b'{"name":"Rest and fluids","n":1}'
CODINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": brotli.compress,
}
CHANGES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "not coded": lambda coded: BODY,
    "cut short": lambda coded: coded[:-3],
    "empty": lambda coded: b"",
}
FORMAT, TYPE = ("body", "format"), ("body", "type")


def recorded(legacy: Exchange, native: Exchange) -> Iterable[Difference]:
    names = Correspondence(NOW * 1000, NOW * 1000)
    return compare_answers(DecodedAnswer.of(legacy), DecodedAnswer.of(native), names)


MODES: Final[dict[str, Callable[[Exchange, Exchange], Iterable[Difference]]]] = {
    "read": lambda legacy, native: compare(legacy, native, mode=READ).differences,
    "dry run": lambda legacy, native: compare(legacy, native, mode=DRY_RUN).differences,
    "recording": recorded,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kind", "legacy", "native"),
    [
        (KIND, b'{"a":1}', b'{"a":1,"a":1}'),
        (KIND, b'{"n":0.0}', b'{"n":-0.0}'),
        (KIND, b'{"n":100.0}', b'{"n":1e2}'),
        (KIND, b'{"n":0}', b'{"n":-0}'),
        (KIND, BODY, BOM + BODY),
        (TEXT, b"hello", BOM + b"hello"),
        (FORM, b"a=1", BOM + b"a=1"),
        (FORM, b"a=1+2", b"a=1%202"),
        (HTML, PAGE, BOM + PAGE),
        (HTML, PAGE, PAGE + b"\n"),
        (HTML, PAGE, PAGE.replace(b"/login", b"/signin")),
        (HTML, PAGE, PAGE.replace(b"<p", b"<h1").replace(b"/p>", b"/h1>")),
        (HTML, PAGE, PAGE.replace(b"S", b"&#83;")),
        (HTML, PAGE, b"<!-- 1 -->" + PAGE),
    ],
)
def test_other_spelling_of_a_body_is_named(kind: str, legacy: bytes, native: bytes, mode: str) -> None:
    differences = MODES[mode](exchange(legacy, kind), exchange(native, kind))
    assert [(one.field, one.kind) for one in differences] == [FORMAT]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_body_that_is_not_of_its_coding_is_named(coding: str, change: Callable[[bytes], bytes], mode: str) -> None:
    coded = CODINGS[coding](BODY)
    legacy, native = (exchange(each, headers=[("content-encoding", coding)]) for each in (coded, change(coded)))
    differences = MODES[mode](legacy, native)
    assert [(one.field, one.kind) for one in differences] == [TYPE if native.body.data else ("body", "missing")]


EXPIRES: Final = "sid=1; Path=/; Expires={}"


@pytest.mark.parametrize("mode", [READ, DRY_RUN], ids=["read", "dry run"])
@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize(("later", "same"), [(3600, True), (3603, True), (3700, False), (365 * 86_400, False)])
@pytest.mark.parametrize(("name", "form"), [("set-cookie", EXPIRES), ("expires", "{}")])
def test_expiry_is_compared_by_how_long_it_lasts(
    name: str, form: str, later: int, same: bool, dated: bool, mode: Mode
) -> None:
    legacy = lasting(name, form, 3600, 0, dated=dated)
    native = lasting(name, form, later, 9, dated=dated)
    verdict = compare(legacy, native, mode=mode)
    assert [one.field for one in verdict.differences] == ([] if same else [f"header.{name}"])


def lasting(name: str, form: str, seconds: int, since: int, *, dated: bool) -> Exchange:
    """Return an answer `since` seconds after NOW, with a header that expires `seconds` after it."""
    headers = [(name, form.format(http_date(NOW + since + seconds)))]
    headers += [("date", http_date(NOW + since))] if dated else []
    return exchange(BODY, headers=headers)._replace(started=float(NOW + since))


def http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
