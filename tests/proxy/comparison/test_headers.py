"""Headers differ only if a client can notice the difference."""

from __future__ import annotations

import pytest

from proxy.comparison.exchanges import compare
from proxy.comparison.headers import entity_tag
from proxy.comparison.modes import DRY_RUN, READ, Mode
from proxy.contract.model import DeclaredAnswer, DeclaredHeader, Operation
from proxy.contract.schemas import Schema
from tests.support.exchanges import NOW, exchange, object_id


def kinds(
    legacy: list[tuple[str, str]], native: list[tuple[str, str]], *bodies: bytes, mode: Mode = READ
) -> list[tuple[str, str, str]]:
    one, other = bodies or (b"{}", b"{}")
    verdict = compare(exchange(one, headers=legacy), exchange(other, headers=native), mode=mode)
    return [(each.field, each.kind, each.severity) for each in verdict.differences if each.path[0] == "header"]


@pytest.mark.parametrize(
    "name",
    ["date", "connection", "keep-alive", "transfer-encoding", "content-length", "x-request-id", "x-served-by", "via"],
)
def test_headers_of_connection_and_time_are_not_compared(name: str) -> None:
    assert not kinds([(name, "a")], [])
    assert not kinds([(name, "a")], [(name, "b")])


def test_header_is_missing_extra_or_different() -> None:
    assert kinds([("x-a", "1")], []) == [("header.x-a", "missing", "minor")]
    assert kinds([], [("x-a", "1")]) == [("header.x-a", "extra", "minor")]
    assert kinds([("x-a", "1")], [("x-a", "2")]) == [("header.x-a", "header", "minor")]


@pytest.mark.parametrize("name", ["access-control-allow-origin", "location", "set-cookie"])
def test_differences_of_semantic_headers_are_breaking(name: str) -> None:
    assert kinds([(name, "a=1")], [(name, "a=2")]) == [(f"header.{name}", "header", "breaking")]


def test_content_types_compare_by_type_and_charset() -> None:
    one = exchange(b"{}", "application/json; charset=utf-8")
    assert compare(one, exchange(b"{}", "Application/JSON;charset=UTF-8")).name == "match"
    assert compare(one, exchange(b"{}", "application/json")).name == "mismatch"


def test_unordered_list_headers_compare_as_sets() -> None:
    assert not kinds([("vary", "Origin, Accept")], [("vary", "accept"), ("vary", "origin")])
    assert kinds([("vary", "Origin")], [("vary", "Accept")])
    assert not kinds([("access-control-allow-methods", "GET,PUT")], [("access-control-allow-methods", "PUT, GET")])


def test_repeated_headers_compare_in_order() -> None:
    assert kinds([("x-a", "1"), ("x-a", "2")], [("x-a", "2"), ("x-a", "1")])


def test_entity_tag_is_ignored_where_bodies_compare() -> None:
    legacy, native = [("etag", 'W/"1"')], [("etag", 'W/"2"')]
    assert kinds(legacy, native) == [("header.etag", "header", "minor")]
    assert not kinds(legacy, native, b'{"a":1}', b'{"a":2}')
    assert kinds(legacy, [("etag", '"2"')], b'{"a":1}', b'{"a":2}')


@pytest.mark.parametrize("mode", [READ, DRY_RUN], ids=["read", "dry-run"])
def test_entity_tag_is_of_legacys_algorithm_over_other_bodies(mode: Mode) -> None:
    bodies = b'{"a":1}', b'{"a":2}'
    legacy, native = ([("etag", entity_tag(body))] for body in bodies)
    assert not kinds(legacy, native, *bodies, mode=mode)
    assert kinds(legacy, legacy, *bodies, mode=DRY_RUN) == [("header.etag", "header", "minor")]
    assert kinds(legacy, [("etag", 'W/"2"')], *bodies, mode=mode) == [("header.etag", "header", "minor")]
    assert not kinds(legacy, [("etag", 'W/"2"'), ("content-encoding", "br")], *bodies, mode=mode)[1:]


def test_date_headers_compare_by_presence() -> None:
    one, other = ([("expires", f"Mon, 30 Nov 2026 10:00:0{second} GMT")] for second in (1, 2))
    assert not kinds(one, other)
    assert kinds(one, [])
    assert kinds([("last-modified", "a")], [("last-modified", "b")])


def test_generated_ids_in_headers_may_differ() -> None:
    legacy, native, old = (f"/notes/{one}" for one in (object_id(1), object_id(2), object_id(1, NOW - 9999)))
    assert kinds([("location", legacy)], [("location", native)])
    assert not kinds([("location", legacy)], [("location", native)], mode=DRY_RUN)
    assert kinds([("location", old)], [("location", native)], mode=DRY_RUN)


def test_cookies_compare_by_name_and_attributes() -> None:
    legacy = [
        ("set-cookie", f"sid={object_id(1)}; Path=/; HttpOnly; Expires=Mon, 30 Nov 2026 10:00:00 GMT"),
        ("set-cookie", "theme=dark"),
    ]
    native = [
        ("set-cookie", "theme=dark"),
        ("set-cookie", f"sid={object_id(2)}; HttpOnly; path=/; Expires=Mon, 30 Nov 2026 10:00:02 GMT"),
    ]
    assert not kinds(legacy, native, mode=DRY_RUN)
    assert kinds(legacy, native)
    assert not kinds(native, native[::-1])
    assert kinds(legacy, native[:1], mode=DRY_RUN)
    assert kinds(legacy, [native[0], ("set-cookie", f"sid={object_id(2)}; Path=/")], mode=DRY_RUN)


def test_expiries_of_cookies_are_compared_by_name_in_any_order() -> None:
    date = ("date", "Mon, 30 Nov 2026 09:00:00 GMT")
    one, other, late = (
        ("set-cookie", f"{name}=1; Expires=Mon, 30 Nov 2026 {hour}:00:00 GMT")
        for name, hour in (("a", 10), ("b", 15), ("b", 16))
    )
    assert not kinds([date, one, other], [date, other, one])
    assert kinds([date, one, other], [date, late, one])


DELETED = "Expires=Thu, 01 Jan 1970 00:00:00 GMT"


@pytest.mark.parametrize("mode", [READ, DRY_RUN], ids=["read", "dry-run"])
@pytest.mark.parametrize(
    ("name", "legacy", "native"),
    [
        ("set-cookie", ["sid=a", "sid=b"], ["sid=b", "sid=a"]),  # the last one counts
        ("set-cookie", ["sid=a; Path=/A"], ["sid=a; Path=/a"]),
        ("set-cookie", ["sid=a; Expires=Mon, 30 Nov 2026 10:00:00 GMT"], [f"sid=a; {DELETED}"]),
        ("set-cookie", ["sid=a; HttpOnly"], ["sid=a"]),
        ("allow", ["PATCH"], ["patch"]),
        ("access-control-allow-methods", ["GET,PATCH"], ["GET,patch"]),
        ("content-type", ["a/b; version=1"], ["a/b; version=2"]),
        ("content-type", ["a/b"], ["a/b; profile=x"]),
        ("expires", ["0"], ["Mon, 30 Nov 2026 10:00:00 GMT"]),
    ],
)
def test_header_values_of_another_meaning_differ(name: str, legacy: list[str], native: list[str], mode: Mode) -> None:
    one, other = (exchange(b"", "", headers=[(name, value) for value in values]) for values in (legacy, native))
    assert [each.path for each in compare(one, other, mode=mode).differences] == [("header", name)]


@pytest.mark.parametrize(
    ("name", "legacy", "native"),
    [
        ("set-cookie", ["sid=a; Path=/A; SameSite=Lax"], ["sid=a; samesite=lax; path=/A"]),
        ("set-cookie", ["sid=a; Path=/A", "sid=a; Path=/B"], ["sid=a; Path=/B", "sid=a; Path=/A"]),
        ("content-type", ["multipart/mixed; boundary=1"], ["multipart/mixed; boundary=2"]),
        ("vary", ["Origin"], ["origin"]),
    ],
)
def test_header_values_of_the_same_meaning_are_equal(name: str, legacy: list[str], native: list[str]) -> None:
    one, other = (exchange(b"", "", headers=[(name, value) for value in values]) for values in (legacy, native))
    assert compare(one, other).differences == ()


@pytest.mark.parametrize(
    ("rule", "legacy", "native"),
    [
        ("ignore", "a", "b"),
        ("generated", f"/notes/{object_id(1)}", f"/notes/{object_id(2)}"),
        ("instant", "Mon, 05 Jan 2026 10:00:00 GMT", "2026-01-05T10:00:00Z"),
    ],
)
def test_contract_rule_compares_a_header(rule: str, legacy: str, native: str) -> None:
    declared = DeclaredAnswer({"x-a": DeclaredHeader(Schema({"x-compare": rule}))})
    contract = Operation("notes", "GET", "/api/notes", {"200": declared})
    one, other = (exchange(b"", "", headers=[("x-a", value)]) for value in (legacy, native))
    assert compare(one, other, contract).name == "match"
    assert compare(one, other).name == "mismatch"
