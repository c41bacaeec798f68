"""Two answers are equal exactly when one is the other with its ids, dates and tokens renamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import cast

import jwt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.comparison.correspondence import FRESH, STORED, Correspondence, TextDifference, abbreviate
from proxy.comparison.volatile import mask, split_volatile, timestamp_of
from proxy.recordings.comparing import compare_recorded_values
from proxy.types import JSON
from tests.support.volatile_content import timestamps

RECORDED_AT = 1_795_376_469_000
LIVE_AT = 1_800_000_000_000
SECRET = "long enough for SHA-512, which wants a key of 64 bytes or more, they say"


def object_id(at: int, serial: int) -> str:
    return f"{at // 1000:08x}{serial:016x}"


def date(ms: int) -> str:
    assert 0 <= ms - RECORDED_AT < 60_000
    return "2026-11-22T19:41:{:02d}.{:03d}Z".format(*divmod(ms - RECORDED_AT, 1000))


def token(at: int, **claims: JSON) -> str:
    return jwt.encode({**claims, "iat": at // 1000, "exp": at // 1000 + 3600}, SECRET)


def names() -> Correspondence:
    return Correspondence(RECORDED_AT, LIVE_AT)


def differ(recorded: object, live: object, correspondence: Correspondence | None = None) -> list[str]:
    values = cast(JSON, recorded), cast(JSON, live)
    return [one.location for one in compare_recorded_values(*values, correspondence or names(), "body")]


ids = st.integers(0, 6).map(lambda serial: object_id(RECORDED_AT, serial))
words = st.text(st.characters(codec="utf-8"), max_size=6).filter(lambda text: not timestamps(text))
numbers = st.integers(-9, 9) | st.floats(-9, 9).filter(bool)
scalars = st.none() | st.booleans() | numbers | words


def nested(inner: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    lists = st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4)
    return cast("st.SearchStrategy[JSON]", lists)


literals: st.SearchStrategy[JSON] = st.recursive(cast("st.SearchStrategy[JSON]", scalars), nested, max_leaves=20)
values: st.SearchStrategy[JSON] = st.recursive(cast("st.SearchStrategy[JSON]", scalars | ids), nested, max_leaves=20)


def renamed(value: JSON, rename: Callable[[str], str]) -> JSON:
    if isinstance(value, dict):
        return {name: renamed(each, rename) for name, each in value.items()}
    if isinstance(value, list):
        return [renamed(each, rename) for each in value]
    return rename(value) if isinstance(value, str) else value


def live_id(serial: int, shift: int = 0) -> str:
    return object_id(LIVE_AT, 1000 + (serial * 5 + shift) % 7)


def rename_id(text: str) -> str:
    return live_id(int(text[8:], 16)) if timestamps(text) else text


@given(values)
def test_consistent_renaming_is_equal(value: JSON) -> None:
    assert differ(value, renamed(value, rename_id)) == []


@given(values)
def test_value_equals_itself(value: JSON) -> None:
    assert differ(value, value) == []


@given(st.lists(ids, min_size=2), st.data())
def test_inconsistent_id_is_one_difference(recorded: list[str], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(recorded) - 1))
    assume(recorded.count(recorded[position]) > 1)
    live = [rename_id(one) for one in recorded]
    live[position] = object_id(LIVE_AT, 9999)
    assert differ(list(recorded), list(live))


@given(st.lists(ids, min_size=2, unique=True), st.data())
def test_merged_ids_are_one_difference(recorded: list[str], data: st.DataObject) -> None:
    live = [rename_id(one) for one in recorded]
    first, second = data.draw(st.permutations(range(len(live))))[:2]
    live[first] = live[second]
    assert len(differ(list(recorded), list(live))) == 1


@given(st.permutations(["a", "b", "c", "d"]))
def test_order_of_keys_is_compared(order: list[str]) -> None:
    recorded: JSON = dict.fromkeys("abcd", 1)
    differences = compare_recorded_values(recorded, dict.fromkeys(order, 1), names(), "body")
    assert [one.kind for one in differences] == ([] if order == list("abcd") else ["order"])


@given(literals, literals)
def test_values_without_ids_are_equal_only_if_identical(one: JSON, other: JSON) -> None:
    assert (differ(one, other) == []) == (json.dumps(one) == json.dumps(other))


@given(st.lists(words | ids, max_size=8).map("".join))
def test_segments_join_to_the_text(text: str) -> None:
    assert "".join(piece.text for piece in split_volatile(text)) == text


@pytest.mark.parametrize(
    ("recorded", "live", "kind"),
    [
        ({"a": 1}, {}, "missing"),
        ({}, {"a": 1}, "extra"),
        ([1], [1, 2], "extra"),
        ([1, 2], [1], "missing"),
        (1, 1.0, "format"),
        (1, True, "type"),
        (None, "", "type"),
        (1, 2, "value"),
        (1.5, 2.5, "value"),
        (True, False, "value"),
        ("a", "b", "value"),
    ],
)
def test_each_kind_of_difference_is_named(recorded: JSON, live: JSON, kind: str) -> None:
    assert [one.kind for one in compare_recorded_values(recorded, live, names(), "body")] == [kind]


def test_difference_has_the_path_of_its_value() -> None:
    recorded: JSON = {"data": {"notes": [{"body": "x"}, {"body": "y"}]}}
    live: JSON = {"data": {"notes": [{"body": "x"}, {"body": "z"}]}}
    assert differ(recorded, live) == ["body.data.notes.1.body"]


def test_id_within_a_sentence_is_mapped() -> None:
    correspondence = names()
    recorded, live = object_id(RECORDED_AT, 1), object_id(LIVE_AT, 2)
    assert not differ(f"note {recorded} is gone", f"note {live} is gone", correspondence)
    assert differ(f"note {recorded} is gone", f"note {live} was gone", correspondence)
    assert differ(recorded, object_id(LIVE_AT, 3), correspondence)


def test_id_as_a_key_is_mapped() -> None:
    correspondence = names()
    recorded, live = object_id(RECORDED_AT, 1), object_id(LIVE_AT, 2)
    assert differ(recorded, live, correspondence) == []
    assert differ({recorded: 1}, {live: 1}, correspondence) == []


def test_id_chosen_by_the_caller_must_be_returned() -> None:
    chosen = "64b7f0f0f0f0f0f0f0f0f0f0"
    assert differ(chosen, chosen) == []
    assert differ(chosen, object_id(LIVE_AT, 1))
    assert differ(object_id(RECORDED_AT, 1), chosen)


def test_date_chosen_by_the_caller_must_be_returned() -> None:
    chosen = "2020-01-01T00:00:00.000Z"
    assert differ(chosen, chosen) == []
    assert differ(chosen, "2027-01-15T08:00:00.000Z")


@pytest.mark.parametrize("legacy", [-FRESH - 1000, -FRESH, 0, FRESH, FRESH + 1000])
@pytest.mark.parametrize("native", [-FRESH - 1000, -FRESH, 0, FRESH, FRESH + 1000])
def test_generated_id_is_near_its_clock_in_both_directions(legacy: int, native: int) -> None:
    is_generated = abs(legacy) <= FRESH and abs(native) <= FRESH
    ids = object_id(RECORDED_AT + legacy, 1), object_id(LIVE_AT + native, 2)
    assert (differ(*ids) == []) is is_generated


def test_date_without_a_reference_time_may_differ() -> None:
    assert not differ("2020-01-01T00:00:00.000Z", "2021-01-01T00:00:00.000Z", Correspondence())


def test_stored_date_must_not_change_later() -> None:
    correspondence = Correspondence(RECORDED_AT, RECORDED_AT)
    created = {"created_at": date(RECORDED_AT + 100)}
    assert differ(created, {"created_at": date(RECORDED_AT + 7000)}, correspondence) == []
    correspondence.step += 1
    assert differ(created, {"created_at": date(RECORDED_AT + 7000)}, correspondence) == []
    assert differ(created, {"created_at": date(RECORDED_AT + 7010)}, correspondence) == ["body.created_at"]


def test_close_dates_may_coincide_on_one_side() -> None:
    together = {"created_at": date(RECORDED_AT), "updated_at": date(RECORDED_AT)}
    apart = {"created_at": date(RECORDED_AT + 5000), "updated_at": date(RECORDED_AT + 5002)}
    for recorded, live in ((together, apart), (apart, together)):
        assert differ(recorded, live, Correspondence(RECORDED_AT, RECORDED_AT)) == []


def test_distant_dates_must_not_coincide_on_one_side() -> None:
    together = {"created_at": date(RECORDED_AT), "updated_at": date(RECORDED_AT)}
    apart = {"created_at": date(RECORDED_AT + 5000), "updated_at": date(RECORDED_AT + 5100)}
    for recorded, live in ((together, apart), (apart, together)):
        assert differ(recorded, live, Correspondence(RECORDED_AT, RECORDED_AT)) == ["body.updated_at"]


def test_dates_of_a_slow_answer_may_differ_by_its_duration() -> None:
    together = {"created_at": date(RECORDED_AT), "updated_at": date(RECORDED_AT)}
    apart = {"created_at": date(RECORDED_AT + 5000), "updated_at": date(RECORDED_AT + 5300)}
    for recorded, live in ((together, apart), (apart, together)):
        assert differ(recorded, live, Correspondence(RECORDED_AT, RECORDED_AT, answer_time=300)) == []
        assert differ(recorded, live, Correspondence(RECORDED_AT, RECORDED_AT, answer_time=299)) == ["body.updated_at"]


def test_slow_answer_does_not_join_dates_of_two_answers() -> None:
    correspondence = Correspondence(RECORDED_AT, RECORDED_AT, answer_time=9000)
    assert differ({"at": date(RECORDED_AT)}, {"at": date(RECORDED_AT + 7000)}, correspondence) == []
    correspondence.step += 1
    assert differ({"at": date(RECORDED_AT + 300)}, {"at": date(RECORDED_AT + 7000)}, correspondence) == ["body.at"]


def test_date_shown_later_may_be_of_the_same_slow_request() -> None:
    for took, differing in ((300, []), (299, ["body.started_at"])):
        correspondence = Correspondence(RECORDED_AT, RECORDED_AT, answer_time=took)
        assert differ({"at": date(RECORDED_AT + 300)}, {"at": date(RECORDED_AT + 5000)}, correspondence) == []
        correspondence.step += 1
        shown, live = {"started_at": date(RECORDED_AT)}, {"started_at": date(RECORDED_AT + 5000)}
        assert differ(shown, live, correspondence) == differing


def test_stored_date_may_be_as_far_from_that_of_its_slow_answer() -> None:
    answered, stored = {"updated_at": date(RECORDED_AT)}, {"ended_at": date(RECORDED_AT)}
    for took, differing in ((300, []), (299, ["body.ended_at"])):
        correspondence = Correspondence(RECORDED_AT, RECORDED_AT, answer_time=took)
        assert differ(answered, {"updated_at": date(RECORDED_AT + 5000)}, correspondence) == []
        correspondence.step = STORED
        assert differ(stored, {"ended_at": date(RECORDED_AT + 5300)}, correspondence) == differing


def test_stored_date_equals_the_one_of_its_answer() -> None:
    correspondence = Correspondence(RECORDED_AT, RECORDED_AT, answer_time=300)
    assert differ({"at": date(RECORDED_AT)}, {"at": date(RECORDED_AT + 5000)}, correspondence) == []
    correspondence.step = STORED
    assert differ({"at": date(RECORDED_AT)}, {"at": date(RECORDED_AT + 5300)}, correspondence) == ["body.at"]


def test_invalid_date_compares_as_text() -> None:
    assert timestamp_of("date", "2026-99-99T00:00:00Z") is None
    assert differ("2026-99-99T00:00:00Z", "2026-99-99T00:00:00Z") == []
    assert differ("2026-99-99T00:00:00Z", "2026-98-99T00:00:00Z") == ["body"]


def test_stamps_and_milliseconds_are_named() -> None:
    correspondence = names()
    recorded = {"id": f"conn-{RECORDED_AT}-6kt6nmx09", "at": RECORDED_AT}
    live = {"id": f"conn-{LIVE_AT}-a1b2c3d4e", "at": LIVE_AT}
    assert differ(recorded, live, correspondence) == []
    file = f"temp-conn-{RECORDED_AT}-6kt6nmx09-{RECORDED_AT + 9}.webm"
    assert differ(file, f"temp-conn-{LIVE_AT}-a1b2c3d4e-{LIVE_AT + 9}.webm", correspondence) == []
    assert differ(recorded["id"], f"conn-{LIVE_AT}-zzzzzzzzz", correspondence) == ["body"]


def test_tokens_compare_by_their_claims() -> None:
    user, live_user = object_id(RECORDED_AT, 1), object_id(LIVE_AT, 2)
    recorded = token(RECORDED_AT, userID=user, author="amara")
    live = token(LIVE_AT, userID=live_user, author="amara")
    correspondence = names()
    assert differ(recorded, live, correspondence) == []
    assert differ({"_id": user}, {"_id": live_user}, correspondence) == []
    assert differ(recorded, token(LIVE_AT, userID=live_user, author="bola"), correspondence) == ["body.claims.author"]
    assert differ(recorded, token(LIVE_AT, userID=object_id(LIVE_AT, 3), author="amara"), correspondence)


def test_equal_claims_require_an_equal_signature() -> None:
    recorded = token(LIVE_AT, author="amara")
    forged = recorded[:-4] + ("aaaa" if not recorded.endswith("aaaa") else "bbbb")
    assert differ(recorded, forged) == ["body.signature"]
    assert differ(recorded, recorded) == []


def test_token_has_the_same_lifetime_and_a_current_issue_time() -> None:
    recorded = token(RECORDED_AT)
    longer = jwt.encode({"iat": LIVE_AT // 1000, "exp": LIVE_AT // 1000 + 7200}, SECRET)
    assert differ(recorded, longer) == ["body.claims.exp"]
    assert differ(recorded, token(1_000_000_000_000)) == ["body.claims.iat"]
    assert differ(recorded, jwt.encode({"iat": LIVE_AT // 1000, "exp": LIVE_AT // 1000 + 3600}, SECRET, "HS512"))


def test_tokens_without_an_issue_time_compare_literally() -> None:
    recorded, live = jwt.encode({"exp": 5}, SECRET), jwt.encode({"exp": 6}, SECRET)
    assert differ(recorded, live) == ["body.claims.exp"]
    listed = jwt.api_jws.encode(b"[1]", SECRET)
    assert differ(listed, jwt.api_jws.encode(b"[2]", SECRET)) == ["body.claims.0"]


def test_token_like_text_must_be_equal() -> None:
    assert differ("eyJx.eyJy.z", "eyJx.eyJy.z") == []
    assert differ("eyJx.eyJy.z", "eyJx.eyJz.z") == ["body"]


def test_password_hashes_compare_by_kind_and_cost() -> None:
    recorded, live = "$2b$08$" + "a" * 53, "$2b$08$" + "b" * 53
    assert differ(recorded, live) == []
    assert differ(recorded, live.replace("$08", "$10")) == ["body"]
    assert differ(recorded, "plain") == ["body"]


def test_later_requests_use_the_live_values() -> None:
    correspondence = names()
    recorded, live = object_id(RECORDED_AT, 1), object_id(LIVE_AT, 2)
    old, new = token(RECORDED_AT, a=recorded), token(LIVE_AT, a=live)
    assert differ([recorded, old], [live, new], correspondence) == []
    correspondence.learn('"1f"', '"2f"')
    correspondence.learn('W/"1f-a"', 'W/"1f-b"')
    assert correspondence.native_text(f"/notes/{recorded}?t={old}") == f"/notes/{live}?t={new}"
    assert correspondence.native_text(json.dumps({"id": recorded})) == json.dumps({"id": live})
    assert correspondence.native_text('"1f"') == '"2f"'
    assert correspondence.native_text('W/"x", W/"1f-a"') == 'W/"x", W/"1f-b"'
    assert correspondence.native_text("nothing known") == "nothing known"
    assert correspondence.counterpart(recorded) == live
    assert correspondence.counterpart("unknown") is None


def test_spelling_remains_when_all_is_masked() -> None:
    text = f'{{"id":"{object_id(RECORDED_AT, 1)}","at":"2026-11-22T19:41:00.123Z","n":1.50}}'
    assert mask(text) == '{"id":"<id>","at":"0000-00-00T00:00:00.000Z","n":1.50}'
    assert mask("2026-11-22T19:41:00Z") != mask("2026-11-22T19:41:00.000Z")


def test_long_values_are_cut() -> None:
    assert abbreviate("x" * 500, limit=10) == '"xxxxxxxx…'
    assert abbreviate({"a": "é"}) == '{"a":"é"}'


OLD = RECORDED_AT - 10**10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (object_id(RECORDED_AT, 1), True),
        (object_id(OLD, 1), False),
        (object_id(OLD, 2), True),  # known
        (str(RECORDED_AT), True),
        (str(OLD), False),
        ("2026-11-22T19:41:05.123Z", True),
        ("2020-11-22T19:41:05.123Z", False),
        ("2020-11-22T19:41:05.1234Z", True),  # another text of the same ms may be its partner
        ("2020-11-22T19:41:05.123+00:00", True),
        (f"note {object_id(OLD, 1)}", True),
        ("note", True),
    ],
)
def test_old_id_or_date_has_no_partner_unless_known(text: str, expected: bool) -> None:
    correspondence = Correspondence(RECORDED_AT, RECORDED_AT)
    correspondence.compare_text(object_id(OLD, 2), object_id(OLD, 2))
    assert correspondence.may_have_partner(text) is expected
    assert correspondence.may_have_partner(text, of_native=True) is expected


class CountingCorrespondence(Correspondence):
    """Counts the texts that it compares, and the ids about which it is asked."""

    count = 0

    def compare_text(
        self, legacy: str, native: str, name: str = "", kind: str | None = None
    ) -> Sequence[TextDifference]:
        self.count += 1
        return super().compare_text(legacy, native, name, kind)

    def may_correspond(self, legacy: str, native: str) -> bool:
        self.count += 1
        return super().may_correspond(legacy, native)


@pytest.mark.parametrize(
    ("legacy", "native"),
    [
        ([object_id(OLD, serial) for serial in range(100)], [object_id(OLD, serial + 100) for serial in range(100)]),
        ([object_id(RECORDED_AT, serial) for serial in range(100)], [object_id(OLD, serial) for serial in range(100)]),
        (*([f"{2000 + year}-{month}-22T19:41:05.000Z" for year in range(25)] for month in ("10", "11")),),
    ],
)
def test_names_that_match_no_other_are_not_compared(legacy: list[str], native: list[str]) -> None:
    counting = CountingCorrespondence(RECORDED_AT, RECORDED_AT)
    differences = compare_recorded_values(dict.fromkeys(legacy, 1), dict.fromkeys(native, 1), counting)
    assert len(differences) == len(legacy) + len(native)
    assert counting.count == 0


def test_learned_pair_replaces_one_that_agreed() -> None:
    correspondence = Correspondence()
    assert not correspondence.compare_text(object_id(OLD, 1), object_id(OLD, 2))
    correspondence.learn(object_id(OLD, 1), object_id(OLD, 3))
    assert correspondence.compare_text(object_id(OLD, 1), object_id(OLD, 2))
