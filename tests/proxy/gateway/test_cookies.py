"""The gateway's own cookies never reach a backend; all others reach it unchanged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.cookies import cookie_value, without_cookies

names = st.sampled_from(["scribe_ops", "scribe_caller", "scribe_ops2", "sid", "x", ""])
values = st.text(alphabet='abc"=_-. ', max_size=6)
pairs = st.lists(st.tuples(names, values), max_size=6)
OWN = frozenset((b"scribe_ops", b"scribe_caller"))


@given(st.lists(pairs, max_size=3))
def test_own_cookies_are_removed_and_others_pass(lines: list[list[tuple[str, str]]]) -> None:
    sent = [(b"cookie", "; ".join(f"{name}={value}" for name, value in line).encode()) for line in lines]
    passed = without_cookies([(b"host", b"a"), *sent], OWN)
    assert passed[0] == (b"host", b"a")
    assert cookie_value(passed, "scribe_ops") is None
    assert cookie_value(passed, "scribe_caller") is None
    for name in ("sid", "scribe_ops2"):
        assert cookie_value(passed, name) == cookie_value(sent, name)


@given(st.text("abc=_-.", max_size=6), st.sampled_from(["", " ", "  "]))
def test_quoted_cookie_has_the_value_of_an_unquoted_one(value: str, space: str) -> None:
    for spelled in (value, f'"{value}"'):
        sent = [(b"host", b"a"), (b"cookie", f"x=1;{space}sid={space}{spelled}{space};sid=2".encode())]
        assert cookie_value(sent, "sid") == value


@given(st.binary(max_size=60))
def test_header_without_own_cookies_passes_byte_for_byte(value: bytes) -> None:
    given_names = {pair.partition(b"=")[0].strip() for pair in value.split(b";")}
    if not given_names & OWN:
        assert without_cookies([(b"cookie", value)], OWN) == [(b"cookie", value)]


def test_header_of_own_cookies_only_is_removed() -> None:
    assert without_cookies([(b"cookie", b" scribe_ops=a; scribe_caller=b ")], OWN) == []
    assert without_cookies([(b"cookie", b"scribe_ops=a; sid=1;  x=2")], OWN) == [(b"cookie", b"sid=1;  x=2")]
