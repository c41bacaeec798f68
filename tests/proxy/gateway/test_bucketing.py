"""Laws of buckets and shares, and the precedence of other rules over a share; no request raises an error."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.field_types import FULL, ZERO
from proxy.config.loading import parse
from proxy.config.models import Config, Route
from proxy.gateway.bucketing import Decision, Limit, bucket, caller_key, decide, is_shadowed
from proxy.types import BasisPoints
from tests.support.profile import examples, spread

SECRET = "0123456789abcdef"
CLIENT = ("203.0.113.7", 40_000)
TOKEN = jwt.encode({"userID": "64b7f0f0f0f0f0f0f0f0f0f0", "author": "Amara", "exp": 1}, "not the secret" * 3)

keys = st.text(min_size=1)
shares = st.integers(0, FULL)


def config(**changes: str) -> Config:
    lines = {
        "legacy": "{url: http://x}",
        "native": "a:b",
        "bucketing": "{key: [jwt:userID, header:x-client-id, cookie:sid, client-ip], salt: scribe-2026}",
        "overrides": f"{{header: x-side, secret: {SECRET}}}",
        **changes,
    }
    return parse("\n".join(f"{key}: {value}" for key, value in lines.items() if value), {})


PLAIN = config()


def route(native: int = 0, **more: object) -> Route:
    return Route.model_validate({"name": "prompts.list", "match": "GET /api/prompts", "native": native, **more})


def backend(share: int, key: str, cap: int = FULL) -> str:
    return decide(route(share), PLAIN, [], None, key=key, limit=Limit(cap=BasisPoints(cap))).backend


@pytest.mark.parametrize(
    ("salt", "domain", "key", "expected"),
    [
        ("scribe-2026", "prompts", "64b7f0f0f0f0f0f0f0f0f0f0", 366),
        ("scribe-2026", "prompts.list", "64b7f0f0f0f0f0f0f0f0f0f0", 9075),
        ("", "r", "10.0.0.1", 7363),
        ("s", "g", "", 7460),
        ("scribe-2026", "notes", "Ωé\ud800", 5814),
    ],
)
def test_buckets_equal_those_of_earlier_releases(salt: str, domain: str, key: str, expected: int) -> None:
    assert bucket(salt, domain, key) == expected


@given(keys, shares, shares)
def test_raising_a_share_only_moves_callers_to_native(key: str, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert backend(high, key) == "native" or backend(low, key) == "legacy"


@given(keys, shares, shares)
def test_cap_is_a_lower_share(key: str, share: int, cap: int) -> None:
    assert backend(share, key, cap) == backend(min(share, cap), key)


@given(keys, shares, shares)
def test_stage_is_a_lower_share_with_the_same_reason(key: str, share: int, stage: int) -> None:
    staged = decide(route(share), PLAIN, [], None, key=key, limit=Limit(stage=BasisPoints(stage)))
    assert (staged.backend, staged.reason) == (backend(min(share, stage), key), "share")


@given(keys)
def test_share_of_zero_and_full_share_need_no_bucket(key: str) -> None:
    assert (backend(0, key), backend(FULL, key)) == ("legacy", "native")


@given(st.text(), st.text(), st.text())
def test_bucket_is_below_ten_thousand_and_stable(salt: str, domain: str, key: str) -> None:
    number = bucket(salt, domain, key)
    assert 0 <= number < FULL
    assert bucket(salt, domain, key) == number


def test_salt_domain_and_key_are_hashed_separately() -> None:
    assert len({bucket(*parts) for parts in [("a", "b", "c"), ("ab", "", "c"), ("", "ab", "c"), ("a", "", "bc")]}) == 4


SALTS = [("scribe-2026", "prompts"), ("", "x"), ("scribe-2027", "notes.create")]
SPELLINGS = ["{:024x}", "10.{}.0.1", "user-{}@clinic.example"]
SPREAD = [(*pair, spelling) for way, pair in enumerate(SALTS) for spelling in spread(SPELLINGS, way, len(SALTS))]


@pytest.mark.parametrize(("salt", "domain", "spelling"), SPREAD)
def test_many_callers_spread_evenly(salt: str, domain: str, spelling: str) -> None:
    callers = examples(100_000)
    counts = Counter(bucket(salt, domain, spelling.format(number)) for number in range(callers))
    expected = callers / FULL
    chi_squared = sum((counts[index] - expected) ** 2 / expected for index in range(FULL))
    freedom = FULL - 1
    assert abs(chi_squared - freedom) < 4 * math.sqrt(2 * freedom)  # 4 sigma: one in 16,000 by chance


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("scribe-2026", "prompts"), ("scribe-2027", "prompts")),
        (("scribe-2026", "prompts"), ("scribe-2026", "notes")),
        (("scribe-2026", "a"), ("scribe-2026", "b")),
    ],
)
def test_salts_and_groups_are_independent(one: tuple[str, str], other: tuple[str, str]) -> None:
    callers, cells = examples(100_000), 20
    table = Counter(
        (bucket(*one, str(number)) * cells // FULL, bucket(*other, str(number)) * cells // FULL)
        for number in range(callers)
    )
    expected = callers / cells**2
    chi_squared = sum(
        (table[row, column] - expected) ** 2 / expected for row in range(cells) for column in range(cells)
    )
    freedom = cells**2 - 1
    assert abs(chi_squared - freedom) < 4 * math.sqrt(2 * freedom)


@given(keys)
def test_group_shares_buckets_and_single_routes_do_not(key: str) -> None:
    family = [route(2500, name=name, group="prompts") for name in ("prompts.list", "prompts.create")]
    decisions = [decide(each, PLAIN, [], None, key=key) for each in family]
    assert decisions[0] == decisions[1]
    assert decisions[0].bucket == bucket("scribe-2026", "prompts", key)
    alone = decide(route(2500), PLAIN, [], None, key=key)
    assert alone.bucket == bucket("scribe-2026", "prompts.list", key)


@pytest.mark.parametrize(
    ("headers", "client", "key"),
    [
        ([(b"authorization", b"Bearer " + TOKEN.encode()), (b"x-client-id", b"c")], CLIENT, "64b7f0f0f0f0f0f0f0f0f0f0"),
        ([(b"authorization", b"whatever " + TOKEN.encode() + b" more")], CLIENT, "64b7f0f0f0f0f0f0f0f0f0f0"),
        ([(b"authorization", b"Bearer  " + TOKEN.encode())], CLIENT, CLIENT[0]),
        ([(b"authorization", TOKEN.encode())], CLIENT, CLIENT[0]),
        ([(b"x-client-id", b" abc "), (b"cookie", b"sid=1")], CLIENT, "abc"),
        ([(b"x-client-id", b"caf\xe9")], CLIENT, "caf\xe9"),
        ([(b"x-client-id", b""), (b"cookie", b'a=b; sid="d"; e'), (b"cookie", b"sid=2")], CLIENT, "d"),
        ([(b"cookie", b"sid=; xsid=1")], CLIENT, CLIENT[0]),
        ([], CLIENT, CLIENT[0]),
        ([], None, None),
    ],
)
def test_first_present_key_is_used(
    headers: list[tuple[bytes, bytes]], client: tuple[str, int] | None, key: str | None
) -> None:
    assert caller_key(PLAIN.bucketing, headers, client) == key


def bearer(payload: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer e30." + base64.urlsafe_b64encode(payload).rstrip(b"=") + b".c2ln")]


@pytest.mark.parametrize(("claim", "key"), [("abc", "abc"), (42, "42"), ("Ωé\ud800", "Ωé\ud800")])
def test_claim_is_a_text_or_an_integer(claim: object, key: str) -> None:
    headers = bearer(json.dumps({"userID": claim}).encode())
    assert caller_key(PLAIN.bucketing, headers, None) == key
    assert decide(route(2500), PLAIN, headers, None).bucket == bucket("scribe-2026", "prompts.list", key)


@pytest.mark.parametrize(
    "payload",
    [
        *(json.dumps({"userID": claim}).encode() for claim in ("", None, True, 1.5, ["a"], {"a": 1})),
        b"[]",
        b'"userID"',
        b"{}",
        b"not json",
        b"\xff\xfe\x00",
        b"[" * 12_000,
        b'{"userID": ' + b"9" * 5000 + b"}",
        b'{"userID": "' + b"a" * 20_000 + b'"}',
    ],
)
def test_claim_of_another_type_is_ignored(payload: bytes) -> None:
    assert caller_key(PLAIN.bucketing, bearer(payload), CLIENT) == CLIENT[0]


@given(st.binary(), st.binary(), st.sampled_from([b"Bearer %b", b"%b", b"Bearer a.%b.c", b"Bearer a.%b.c.d"]))
def test_random_headers_never_raise(garbage: bytes, other: bytes, form: bytes) -> None:
    headers = [(b"authorization", form % garbage), (b"cookie", other), (b"x-client-id", other), (b"x-side", garbage)]
    decision = decide(route(2500), PLAIN, headers, CLIENT)
    assert decision.bucket is not None


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | inner))
def test_claims_of_every_json_type_never_raise(claim: object) -> None:
    decision = decide(route(2500), PLAIN, bearer(json.dumps({"userID": claim}).encode()), CLIENT)
    assert decision.reason == "share"


def test_missing_key_is_native_at_the_full_share_only() -> None:
    none = PLAIN.model_copy(update={"bucketing": config(bucketing="{key: header:x}").bucketing})
    assert decide(route(9999), none, [], None) == Decision("legacy", "no-key")
    assert decide(route(9999), none, [], None, limit=Limit(cap=ZERO)) == Decision("legacy", "cap")
    assert decide(route(FULL, shadow="5%"), none, [], None) == Decision("native", "share")


def test_bucket_is_computed_where_it_matters_only() -> None:
    assert decide(route(0), PLAIN, [], CLIENT) == Decision("legacy", "share")
    assert decide(route(FULL), PLAIN, [], CLIENT) == Decision("native", "share")
    assert decide(route(FULL), PLAIN, [], CLIENT, limit=Limit(cap=ZERO)) == Decision("legacy", "cap")
    assert decide(route(0, shadow="100%"), PLAIN, [], CLIENT).bucket is None
    assert decide(route(0, shadow="5%"), PLAIN, [], CLIENT).bucket is not None
    assert decide(route(1), PLAIN, [], CLIENT).bucket is not None


def test_cap_is_the_reason_where_it_changes_the_backend() -> None:
    number = bucket("scribe-2026", "prompts.list", "k")
    assert decide(route(number + 1), PLAIN, [], None, key="k", limit=Limit(cap=BasisPoints(number))) == Decision(
        "legacy", "cap", number
    )
    assert decide(route(number), PLAIN, [], None, key="k", limit=Limit(cap=ZERO)) == Decision("legacy", "share", number)
    assert decide(route(FULL), PLAIN, [], None, key="k", limit=Limit(cap=BasisPoints(number + 1))) == Decision(
        "native", "share", number
    )


def override(value: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-side", value.encode())]


def test_settings_above_the_share_have_a_fixed_order() -> None:
    native, overrides = f"native; key={SECRET}", override(f"native; key={SECRET}")
    everything = PLAIN.model_copy(update={"pin": "legacy"})
    assert decide(route(FULL, pin="native"), config(native=""), overrides, CLIENT) == Decision("legacy", "no-native")
    assert decide(route(FULL, pin="native"), everything, overrides, CLIENT) == Decision("legacy", "pin-all")
    assert decide(None, PLAIN.model_copy(update={"pin": "native"}), [], CLIENT) == Decision("native", "pin-all")
    assert decide(route(FULL, pin="legacy"), PLAIN, overrides, CLIENT) == Decision("legacy", "pin")
    assert decide(None, PLAIN, override(native), CLIENT) == Decision("native", "override")
    assert decide(None, PLAIN, [], CLIENT) == Decision("legacy", "no-route")
    assert decide(route(0), PLAIN, overrides, CLIENT) == Decision("native", "override")
    assert decide(route(FULL), PLAIN, override(f"legacy;key={SECRET}"), CLIENT) == Decision("legacy", "override")
    assert decide(route(FULL), PLAIN, overrides, CLIENT, limit=Limit(cap=ZERO)) == Decision("native", "override")


@pytest.mark.parametrize(
    "value",
    [
        "native",
        "native; key=",
        "native; key=wrong",
        f"native; key={SECRET}x",
        f"native; key={SECRET[:-1]}",
        f"native; KEY {SECRET}",
        f"native; secret={SECRET}",
        f"natve; key={SECRET}",
        f"; key={SECRET}",
        f"native, key={SECRET}",
        "native; key=\xff",
    ],
)
def test_override_with_a_wrong_secret_is_ignored(value: str) -> None:
    assert decide(route(0), PLAIN, override(value), CLIENT) == Decision("legacy", "share")


def test_empty_secret_switches_overrides_off() -> None:
    off = config(overrides="{header: x-side, secret: '${NONE:-}'}")
    assert decide(route(0), off, override("native; key="), CLIENT) == Decision("legacy", "share")
    assert decide(route(0), config(overrides=""), override(f"native; key={SECRET}"), CLIENT).reason == "share"


@given(keys, shares)
def test_shadow_samples_whole_callers_from_the_top(key: str, share: int) -> None:
    each = route(2500, shadow={"share": share})
    number = decide(each, PLAIN, [], None, key=key).bucket
    assert number is not None
    assert is_shadowed(each, number) == (number >= FULL - share)
    assert is_shadowed(each, None) == (share == FULL)


@pytest.mark.parametrize("share", [0, 1, 2500, 9999, FULL])
def test_shadow_share_is_its_number_of_buckets(share: int) -> None:
    each = route(2500, shadow={"share": share})
    assert [number for number in range(FULL) if is_shadowed(each, number)] == list(range(FULL - share, FULL))
