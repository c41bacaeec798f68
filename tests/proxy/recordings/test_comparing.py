"""Two answers differ in outcome, status, headers, body or spelling."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.exchange import Outcome
from proxy.comparison.headers import entity_tag
from proxy.contract.payloads import parse_json
from proxy.recordings.comparing import compare_answers
from proxy.recordings.report import value_text

RECORDED_AT = 1_795_376_469_000
OURS, THEIRS = f"{RECORDED_AT // 1000:08x}{1:016x}", f"{RECORDED_AT // 1000 + 99:08x}{2:016x}"


def names() -> Correspondence:
    return Correspondence(RECORDED_AT, RECORDED_AT)


def answer(body: str, kind: str = "application/json; charset=utf-8", **headers: str) -> DecodedAnswer:
    data = body.encode()
    own = {"content-type": kind, "content-length": str(len(data)), "etag": entity_tag(data)}
    return DecodedAnswer(
        "response", 200, own | {name.replace("_", "-"): value for name, value in headers.items()}, data
    )


def paths(recorded: DecodedAnswer, live: DecodedAnswer, correspondence: Correspondence | None = None) -> list[str]:
    return [one.location for one in compare_answers(recorded, live, correspondence or names())]


def without(given: DecodedAnswer, *headers: str) -> DecodedAnswer:
    return replace(given, headers={name: value for name, value in given.headers.items() if name not in headers})


def test_answer_equals_itself_apart_from_connection_headers() -> None:
    live = answer('{"a":1}', date="now", connection="close", x_served_by="native", x_request_id="1")
    assert paths(answer('{"a":1}', connection="keep-alive"), live) == []


def test_headers_can_be_excluded() -> None:
    recorded, live = answer("{}"), answer("{}", server="x")
    assert paths(recorded, live) == ["header.server"]
    assert not compare_answers(recorded, live, names(), ignored={"server"})


@pytest.mark.parametrize(
    ("header", "recorded", "live"),
    [
        ("vary", "Origin", "Accept-Encoding, Origin"),
        ("x-powered-by", "Express", ""),
        ("access-control-allow-origin", "http://a", "*"),
        ("content-type", "application/json; charset=utf-8", "application/json"),
    ],
)
def test_changed_header_is_a_difference(header: str, recorded: str, live: str) -> None:
    differences = compare_answers(answer("{}", **{header: recorded}), answer("{}", **{header: live}), names())
    assert [(one.location, one.kind) for one in differences] == [(f"header.{header}", "header")]


def test_missing_and_extra_headers_are_differences() -> None:
    with_vary, bare = answer("{}", vary="Origin"), answer("{}")
    assert [one.kind for one in compare_answers(with_vary, bare, names())] == ["missing"]
    assert [one.kind for one in compare_answers(bare, with_vary, names())] == ["extra"]


@pytest.mark.parametrize("live", ["hang", "reset"])
def test_changed_outcome_is_the_only_difference(live: Outcome) -> None:
    differences = compare_answers(answer("{}"), DecodedAnswer(live), names())
    texts = [(one.location, value_text(one.legacy), value_text(one.native)) for one in differences]
    assert texts == [("outcome", "response 200", live)]
    assert paths(DecodedAnswer(live), DecodedAnswer(live)) == []


def test_changed_status_is_listed_first() -> None:
    assert paths(answer('{"a":1}'), replace(answer('{"a":2}'), status=500)) == ["status"]


def test_bodies_compare_with_mapped_ids_and_own_etags() -> None:
    recorded, live = answer(f'{{"_id":"{OURS}"}}'), answer(f'{{"_id":"{THEIRS}"}}')
    assert paths(recorded, live) == []
    assert paths(recorded, replace(live, headers={**live.headers, "etag": entity_tag(b"x")})) == ["header.etag"]


@pytest.mark.parametrize("live", ['{"a": 1.5}', '{"a":1.50}', '{"a":1.5,"a":1.5}', '{"\\u0061":1.5}'])
def test_spelling_of_json_is_compared(live: str) -> None:
    differences = compare_answers(answer('{"a":1.5}'), answer(live), names())
    assert [(one.location, one.kind) for one in differences] == [("body", "format")]


def test_order_of_keys_is_compared() -> None:
    assert paths(answer('{"a":1,"b":2}'), answer('{"b":2,"a":1}')) == ["body"]


def test_json_against_text_is_a_difference() -> None:
    assert paths(answer("{}"), answer("{")) == ["body"]
    assert paths(answer("{"), answer("{}")) == ["body"]


def test_text_compares_as_text() -> None:
    page = "<pre>Cannot GET /{}</pre>"
    assert not paths(answer(page.format(OURS), "text/html"), answer(page.format(THEIRS), "text/html"))
    assert paths(answer(page.format("a"), "text/html"), answer(page.format("b"), "text/html")) == ["body"]


def bodiless(given: DecodedAnswer) -> DecodedAnswer:
    return replace(given, body=b"")


def test_etag_without_a_body_equals_the_earlier_one() -> None:
    recorded, live, correspondence = answer(f'["{OURS}"]'), answer(f'["{THEIRS}"]'), names()
    assert paths(bodiless(recorded), bodiless(live), correspondence) == []
    assert paths(recorded, live, correspondence) == []
    assert paths(bodiless(recorded), bodiless(live), correspondence) == []
    other = bodiless(answer(f'["{OURS}"]'))
    assert paths(bodiless(recorded), other, correspondence) == ["header.etag"]


def test_etag_without_a_body_contains_its_length() -> None:
    recorded, live = bodiless(answer("12")), bodiless(answer("123"))
    assert paths(recorded, live) == ["header.content-length", "header.etag"]


def test_etag_over_equal_bodies_is_equal() -> None:
    recorded = answer("{}", etag='"v1"')
    assert paths(recorded, answer("{}", etag='"v1"')) == []
    assert paths(recorded, answer("{}", etag='"v2"')) == paths(recorded, answer("{}")) == ["header.etag"]


def test_etag_of_another_algorithm_has_the_same_strength() -> None:
    recorded = answer(f'["{OURS}"]', etag='"v1"')
    assert paths(recorded, answer(f'["{THEIRS}"]', etag='"v2"')) == []
    assert paths(recorded, answer(f'["{THEIRS}"]')) == ["header.etag"]


@pytest.mark.parametrize("weak", ["", "W/"], ids=["strong", "weak"])
def test_etag_of_an_edited_recording_shows_its_algorithm(weak: str) -> None:
    recorded = answer('["edited"]', etag=weak + entity_tag(b'["original"]').removeprefix("W/"))
    live = answer('["edited"]', etag=weak + entity_tag(b'["edited"]').removeprefix("W/"))
    assert paths(recorded, live) == []
    assert paths(recorded, answer('["edited"]', etag=weak + entity_tag(b"x").removeprefix("W/"))) == ["header.etag"]


HOUR_LATER, MONTH_LATER = "Mon, 30 Nov 2026 11:00:00 GMT", "Thu, 31 Dec 2026 11:00:00 GMT"
EXPIRING = (("set-cookie", "sid=a; Path=/; Expires={}; HttpOnly"), ("expires", "{}"))


def expiring(name: str, value: str, expiry: str, **headers: str) -> DecodedAnswer:
    return answer("{}", **{name: value.format(expiry)}, **headers)


@pytest.mark.parametrize(("name", "value"), EXPIRING)
def test_expiry_lasts_as_long_after_the_answer(name: str, value: str) -> None:
    recorded = expiring(name, value, HOUR_LATER, date="Mon, 30 Nov 2026 10:00:00 GMT")
    now = "Thu, 31 Dec 2026 10:00:00 GMT"
    assert paths(recorded, expiring(name, value, MONTH_LATER, date=now)) == []
    for other in (
        "Thu, 31 Dec 2026 11:00:20 GMT",
        "Thu, 31 Dec 2026 10:59:40 GMT",
        "Thu, 31-Dec-2026 11:00:00 GMT",
        "2026-12-31T11:00:00Z",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        HOUR_LATER,
    ):
        assert paths(recorded, expiring(name, value, other, date=now)) == [f"header.{name}"]


@pytest.mark.parametrize(("name", "value"), EXPIRING)
def test_expiry_without_dates_lasts_about_as_long(name: str, value: str) -> None:
    at, now = (
        int(datetime(2026, month, day, 10, tzinfo=UTC).timestamp() * 1000) for month, day in ((11, 30), (12, 31))
    )
    recorded = expiring(name, value, HOUR_LATER)
    assert paths(recorded, expiring(name, value, MONTH_LATER), Correspondence(at, now)) == []
    later = "Thu, 31 Dec 2026 12:00:00 GMT"
    assert paths(recorded, expiring(name, value, later), Correspondence(at, now)) == [f"header.{name}"]
    assert paths(recorded, expiring(name, value, later), Correspondence(native_at=now)) == []


@pytest.mark.parametrize(("name", "value"), EXPIRING)
def test_fixed_expiry_is_equal_while_it_is_in_the_future(name: str, value: str) -> None:
    recorded = expiring(name, value, MONTH_LATER, date="Mon, 30 Nov 2026 10:00:00 GMT")
    assert paths(recorded, expiring(name, value, MONTH_LATER, date="Thu, 31 Dec 2026 10:59:59 GMT")) == []
    expired = expiring(name, value, MONTH_LATER, date="Thu, 31 Dec 2026 11:00:01 GMT")
    assert paths(recorded, expired) == [f"header.{name}"]


def test_cookies_that_do_not_expire_later_compare_as_spelled() -> None:
    deleted = answer("{}", set_cookie="sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
    assert paths(deleted, deleted) == []
    assert paths(deleted, answer("{}", set_cookie="sid=; Expires=Thu, 01 Jan 1970 00:00:01 GMT")) == [
        "header.set-cookie"
    ]
    assert paths(answer("{}", set_cookie="sid=a; Path=/"), answer("{}", set_cookie="sid=a; path=/")) == [
        "header.set-cookie"
    ]


COOKIES = ("sid=a; Path=/; Expires={}", "theme=b; Path=/", "lang=c")


@pytest.mark.parametrize("index", range(len(COOKIES)))
def test_every_cookie_is_compared(index: int) -> None:
    recorded, live = [list(COOKIES), list(COOKIES)]
    recorded[0], live[0] = COOKIES[0].format(HOUR_LATER), COOKIES[0].format(MONTH_LATER)
    then, now = "Mon, 30 Nov 2026 10:00:00 GMT", "Thu, 31 Dec 2026 10:00:00 GMT"
    expected = answer("{}", set_cookie="\n".join(recorded), date=then)
    assert paths(expected, answer("{}", set_cookie="\n".join(live), date=now)) == []
    for cookies in (live[:index] + live[index + 1 :], [*live[:index], "x" + live[index], *live[index + 1 :]]):
        assert paths(expected, answer("{}", set_cookie="\n".join(cookies), date=now)) == ["header.set-cookie"]


def test_missing_length_or_etag_is_a_difference() -> None:
    bare = without(answer("{}"), "content-length", "etag")
    assert paths(answer("{}"), bare) == ["header.content-length", "header.etag"]


def test_tag_is_expresss() -> None:
    assert entity_tag(b'{"msg":"welcome to the server"}') == 'W/"1f-HGffxx6uobnTz2YvR5DpyWJg/Ao"'


def test_body_is_json_where_typed_and_valid() -> None:
    assert answer("[1]").json_or_text == [1]
    assert answer("[1").json_or_text == "[1"
    assert answer("[1]", "text/plain").json_or_text == "[1]"
    assert answer("[" * 100_000).json_or_text == "[" * 100_000


def test_json_is_strict() -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        parse_json("[NaN]")
