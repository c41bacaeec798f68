"""Documents and outside calls are compared by meaning, not by the place and time of their creation."""

from __future__ import annotations

import json

import pytest

from proxy.comparison.correspondence import Correspondence
from proxy.recordings.compare_side_effects import compare_calls, compare_documents
from proxy.recordings.comparing import compare_recorded_values
from proxy.types import JSON

AT = 1_795_376_469_000


def oid(serial: int, side: int = 0) -> dict[str, JSON]:
    return {"$oid": f"{AT // 1000 + side:08x}{serial:016x}"}


def names(*, strict: bool = False) -> Correspondence:
    return Correspondence(AT, AT, strict=strict)


def documents(recorded: list[JSON], live: list[JSON], correspondence: Correspondence | None = None) -> list[str]:
    return [one.location for one in compare_documents("notes", recorded, live, correspondence or names())]


def calls(recorded: JSON, live: JSON, *, strict: bool = False) -> list[str]:
    return [one.location for one in compare_calls([recorded], [live], names(strict=strict))]


def test_documents_compare_in_the_order_stored() -> None:
    recorded: list[JSON] = [{"_id": oid(1), "n": 1}, {"_id": oid(2), "n": 2}]
    live: list[JSON] = [{"_id": oid(7, 9), "n": 1}, {"_id": oid(8, 9), "n": 2}]
    assert documents(recorded, live) == []
    assert documents(recorded, live[::-1]) == ["store.notes.0.n", "store.notes.1.n"]


def test_seen_document_is_matched_at_another_position() -> None:
    recorded: list[JSON] = [{"_id": oid(1), "n": 1}, {"_id": oid(2), "n": 2}]
    live: list[JSON] = [{"_id": oid(8, 9), "n": 2}, {"_id": oid(7, 9), "n": 1}]
    correspondence = names()
    assert not compare_recorded_values(oid(1), oid(7, 9), correspondence, "body")
    assert documents(recorded, live, correspondence) == []


def test_strict_comparison_includes_the_order_of_documents() -> None:
    recorded: list[JSON] = [{"_id": 1, "n": 1}, {"_id": 2, "n": 2}, {"_id": 3, "n": 3}]
    assert documents(recorded, recorded, names(strict=True)) == []
    assert documents(recorded, recorded[1:], names(strict=True)) == ["store.notes.0"]
    assert documents(recorded, recorded[::-1], names(strict=True)) == ["store.notes"]
    assert documents(recorded, recorded[::-1]) == []


def test_missing_and_extra_documents_are_whole_differences() -> None:
    one: JSON = {"_id": oid(1)}
    assert documents([one], []) == ["store.notes.0"]
    assert documents([], [one]) == ["store.notes.0"]
    assert documents([one], [{"_id": oid(1, 9)}, {"_id": oid(2, 9)}]) == ["store.notes.1"]


def test_types_and_the_order_of_fields_are_compared() -> None:
    assert documents([{"_id": 1, "a": 1, "b": 2}], [{"_id": 1, "b": 2, "a": 1}]) == ["store.notes.0"]
    assert documents([{"_id": 1, "__v": 0}], [{"_id": 1, "__v": 0.0}]) == ["store.notes.0.__v"]
    assert documents(["x"], ["y"]) == ["store.notes.0"]


def test_date_on_a_whole_second_is_a_date_like_any_other() -> None:
    recorded: list[JSON] = [{"_id": 1, "at": [{"$date": "2026-11-22T19:41:09Z"}]}]
    live: list[JSON] = [{"_id": 1, "at": [{"$date": "2026-11-22T19:41:59.123Z"}]}]
    assert documents(recorded, live) == []
    assert documents(recorded, [{"_id": 1, "at": [{"$date": {"$numberLong": "-1"}}]}]) == ["store.notes.0.at.0.$date"]


def chat(content: str, **more: JSON) -> dict[str, JSON]:
    body = json.dumps({"model": "gpt-4o", "messages": [{"content": content}], **more})
    return {"method": "POST", "path": "/v1/chat", "ctype": "application/json", "body": body}


def test_calls_compare_by_method_path_and_body() -> None:
    assert calls(chat("a"), chat("a") | {"auth": "Bearer x"}) == []
    assert calls(chat("a"), chat("b")) == ["calls.0.body.messages.0.content"]
    assert calls(chat("a"), chat("a") | {"method": "PUT"}) == ["calls.0.method"]
    assert calls(chat("a"), chat("a") | {"path": "/v2/chat"}) == ["calls.0.path"]


def test_order_of_request_keys_is_ignored() -> None:
    live = chat("a") | {"body": '{"messages":[{"content":"a"}],"model":"gpt-4o"}'}
    assert calls(chat("a"), live) == []


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"auth": "Bearer x"}, "calls.0.auth"),
        ({"ctype": "application/json; charset=utf-8"}, "calls.0.ctype"),
        ({"body": '{"messages":[{"content":"a"}],"model":"gpt-4o"}'}, "calls.0.body"),
        ({"body": '{"model":"gpt-4o",  "messages":[{"content":"a"}]}'}, None),
    ],
)
def test_strict_comparison_includes_headers_and_key_order(change: dict[str, JSON], location: str | None) -> None:
    assert calls(chat("a"), chat("a") | change, strict=True) == ([] if location is None else [location])
    assert calls(chat("a"), chat("a") | change) == []


def test_missing_and_extra_calls_are_differences() -> None:
    assert [one.location for one in compare_calls([chat("a")], [], names())] == ["calls.0"]
    assert [one.location for one in compare_calls([], [chat("a")], names())] == ["calls.0"]
    assert [one.location for one in compare_calls(["x"], ["x"], names())] == []


def test_query_and_a_form_compare_decoded() -> None:
    recorded: JSON = {"method": "GET", "path": "https://a.example/x/$expand?url=http:%2F%2Fs&filter=a%20b"}
    live: JSON = {"method": "GET", "path": "/x/$expand?url=http%3A%2F%2Fs&filter=a+b"}
    assert calls(recorded, live) == []
    form: dict[str, JSON] = {"path": "/", "ctype": "application/x-www-form-urlencoded", "body": "a=%7e&b="}
    assert calls(form, form | {"body": "a=~&b="}) == []
    assert calls(form, form | {"body": "a=~"}) == ["calls.0.body.1"]


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"method": "PUT"}, "calls.0.method"),
        ({"path": "https://a.example/y?page=1&size=2"}, "calls.0.path"),
        ({"path": "https://a.example/x?page=3&size=2"}, "calls.0.query.0.1"),
        ({"path": "https://a.example/x?from=1&size=2"}, "calls.0.query.0.0"),
        ({"path": "https://a.example/x?page=1"}, "calls.0.query.1"),
        ({"path": "https://a.example/x?page=1&size=2&size=2"}, "calls.0.query.2"),
        ({"body": '{"a": true}'}, "calls.0.body.a"),
        ({"body": None}, "calls.0.body"),
        ({"path": "/x?page=1&size=2"}, None),
        ({"body": '{ "a":1 }'}, None),
    ],
)
def test_each_part_of_a_call_is_compared(change: dict[str, JSON], location: str | None) -> None:
    call: dict[str, JSON] = {"method": "POST", "path": "https://a.example/x?page=1&size=2", "body": '{"a": 1}'}
    assert calls(call, call | change) == ([] if location is None else [location])


def test_abbreviated_instructions_match_any_text() -> None:
    short = chat("<instructions: as JSON>")
    assert calls(short, chat("Give me all of it,\nas JSON.")) == []
    assert calls(short, chat("<instructions: as XML>")) == ["calls.0.body.messages.0.content"]
    assert calls(short, {**chat("x"), "body": '{"model":"gpt-4o","messages":[]}'}) == ["calls.0.body.messages.0"]


def test_multipart_bodies_compare_without_their_boundaries() -> None:
    def upload(boundary: str, name: str) -> JSON:
        kind = f'multipart/form-data; boundary="{boundary}"'
        return {"path": "/", "ctype": kind, "body": f'--{boundary}\r\nfilename="{name}"\r\n--{boundary}--'}

    recorded, live = f"temp-conn-{AT}-6kt6nmx09-{AT + 5}.webm", f"temp-conn-{AT + 99}-aaaaaaaaa-{AT + 199}.webm"
    assert calls(upload("xx", recorded), upload("yy", live)) == calls(upload("x", live), upload("y", live)) == []
    assert calls(upload("xx", recorded), upload("yy", recorded), strict=True) == []
    assert calls(upload("xx", recorded), upload("yy", "final.webm")) == ["calls.0.body"]
