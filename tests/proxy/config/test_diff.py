"""Callers that a changed file would move, compared with decisions for drawn callers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.diff import RouteChange, route_changes, setting_changes
from proxy.config.field_types import FULL, show_share
from proxy.config.loading import parse
from proxy.config.models import Config
from proxy.gateway.bucketing import decide
from proxy.gateway.routing import RouteTable
from proxy.types import BasisPoints

HEAD = "legacy: {url: http://x}\nnative: a:b\n"
shares = st.integers(0, FULL).map(lambda share: show_share(BasisPoints(share)))


def config(*routes: str, head: str = HEAD) -> Config:
    return parse(f"{head}routes: [{', '.join(f'{{{route}}}' for route in routes)}]\n", {})


def only(old: Config, new: Config) -> RouteChange:
    (change,) = route_changes(old, new)
    return change


def test_equal_files_have_no_changes() -> None:
    one = config("name: a, match: GET /a, native: 25%")
    assert route_changes(one, one) == ()
    assert setting_changes(one, one) == ()


@given(shares, shares)
def test_share_moves_exactly_the_callers_between(before: str, after: str) -> None:
    old, new = (config(f"name: a, match: GET /a, native: {share}") for share in (before, after))
    changes = route_changes(old, new)
    assert bool(changes) == (before != after)
    for change in changes:
        assert change.to_native == max(0, change.after - change.before)
        assert change.to_legacy == max(0, change.before - change.after)
        assert not change.redrawn


ROUTES = {
    "native": ("name: a, match: GET /a, native: 30%", "name: a, match: GET /a, native: 55.5%"),
    "back": ("name: a, match: GET /a, native: 30%", "name: a, match: GET /a, native: 1%"),
    "pin": ("name: a, match: GET /a, native: 30%", "name: a, match: GET /a, native: 30%, pin: native"),
    "unpin": ("name: a, match: GET /a, pin: native", "name: a, match: GET /a, native: 30%"),
    "renamed": ("name: a, match: GET /a, native: 30%", "name: b, match: GET /a, native: 60%"),
    "grouped": ("name: a, match: GET /a, native: 30%", "name: a, match: GET /a, native: 30%, group: g"),
    "covered": ("name: all, match: GET /*, native: 40%", "name: a, match: GET /a, native: 10%"),
}


@pytest.mark.parametrize(("before", "after"), ROUTES.values(), ids=ROUTES)
def test_numbers_are_those_of_callers_counted(before: str, after: str) -> None:
    old, new = config(before), config(after)
    change = route_changes(old, new)[0]
    callers, moved = 20_000, {"native": 0, "legacy": 0}
    routes = [
        (match.route, each) for each in (old, new) if (match := RouteTable(each.routes).match("GET", b"/a")) is not None
    ]
    for number in range(callers):
        backends = [decide(route, each, [], None, key=f"caller-{number}").backend for route, each in routes]
        if backends[0] != backends[1]:
            moved[backends[1]] += 1
    assert moved["native"] / callers == pytest.approx(change.to_native / FULL, abs=0.015)
    assert moved["legacy"] / callers == pytest.approx(change.to_legacy / FULL, abs=0.015)


@settings(max_examples=30)
@given(shares, shares)
def test_redrawn_moves_equal_the_expectation(before: str, after: str) -> None:
    old = config(f"name: a, match: GET /a, native: {before}")
    new = config(f"name: a, match: GET /a, native: {after}", head=HEAD + "bucketing: {salt: other}\n")
    for change in route_changes(old, new):
        assert change.to_native - change.to_legacy == pytest.approx(change.after - change.before, abs=1)


@pytest.mark.parametrize(
    ("bucketing", "route", "reason"),
    [
        ("salt: other", "name: a, match: GET /a, native: 25%", "salt"),
        ("key: header:x", "name: a, match: GET /a, native: 25%", "key"),
        ("", "name: b, match: GET /a, native: 25%", "group or name"),
        ("", "name: a, match: GET /a, native: 25%, group: g", "group or name"),
        ("salt: other, key: header:x", "name: a, match: GET /a, native: 25%, group: g", "salt, key, group or name"),
    ],
)
def test_redrawn_buckets_have_a_reason(bucketing: str, route: str, reason: str) -> None:
    old = config("name: a, match: GET /a, native: 25%")
    change = only(old, config(route, head=HEAD + f"bucketing: {{{bucketing}}}\n"))
    assert change.redrawn == reason
    assert (change.to_native, change.to_legacy) == (1875, 1875)


def test_certain_share_does_not_depend_on_drawing() -> None:
    old = config("name: a, match: GET /a, native: 100%")
    new = config("name: b, match: GET /a, native: 25%")
    change = only(old, new)
    assert (change.redrawn, change.to_native, change.to_legacy) == ("", 0, 7500)


def test_added_route_is_compared_with_its_former_route() -> None:
    old = config("name: all, match: '* /api/*', native: 100%")
    new = config("name: a, match: GET /api/a, native: 10%", "name: all, match: '* /api/*', native: 100%")
    change = only(old, new)
    assert (change.kind, change.before, change.after, change.to_legacy) == ("added", 10_000, 1000, 9000)
    assert change.notes == ("was taken by all",)


def test_removed_route_is_compared_with_its_successor() -> None:
    old = config("name: a, match: GET /a, native: 10%")
    change = only(old, config())
    assert (change.kind, change.to_legacy, change.notes) == ("removed", 1000, ("now taken by no route (legacy)",))


def test_file_without_a_native_side_moves_all_to_legacy() -> None:
    old = config("name: a, match: GET /a, native: 10%")
    new = config("name: a, match: GET /a", head="legacy: {url: http://x}\n")
    assert only(old, new).to_legacy == 1000


def test_other_changes_are_listed() -> None:
    old = config("name: a, match: 'GET /a/{x}', pin: legacy")
    new = config("name: b, match: 'GET /A/{y}/', timeouts: {response: 1s}, group: g, shadow: 5%")
    assert only(old, new).notes == (
        "was named a",
        "pin: legacy → -",
        "group: - → g",
        "timeouts differs",
        "shadow differs",
    )


def test_settings_are_compared_by_key_and_secrets_are_not_shown() -> None:
    old = config(head=HEAD + "overrides: {secret: 0123456789abcdef}\nserved_by: no\n")
    new = config(
        head="legacy: {url: http://y, timeouts: {response: 2m}}\nnative: a:b\nbucketing: {key: [jwt:a, client-ip]}\n"
        "overrides: {secret: fedcba9876543210}\n"
    )
    assert {(each.key, each.before, each.after) for each in setting_changes(old, new)} == {
        ("legacy.url", "http://x", "http://y"),
        ("legacy.timeouts.response", "30s", "2m"),
        ("bucketing.key", "client-ip", "jwt:a, client-ip"),
        ("overrides.secret", "(a secret)", "(a secret)"),
        ("served_by", "false", "true"),
    }


def test_added_rollout_names_the_start_that_keeps_the_share() -> None:
    plain = config("name: a, match: GET /a, native: 25%")
    staged = config("name: a, match: GET /a, rollout: {stages: [10%, 100%]}")
    change = only(plain, staged)
    assert (change.before, change.after, change.to_legacy) == (2500, 1000, 1500)
    assert change.notes == (
        "a rollout is added: continues at 10%",
        "`start_at: 25%`, as one of its stages, would keep all callers",
    )
    assert route_changes(staged, staged) == ()


def test_raised_limit_of_a_rollout_moves_no_caller() -> None:
    rollout = "rollout: {stages: [10%, 100%]}"
    old, new = (config(f"name: a, match: GET /a, native: {share}, {rollout}") for share in ("50%", "60%"))
    change = only(old, new)
    assert (change.to_native, change.to_legacy) == (0, 0)
    assert change.notes == ("`native` limits the rollout: 50% → 60%",)


@pytest.mark.parametrize(
    ("before", "rollout", "share", "notes"),
    [
        ("25%", "{stages: [1%, 25%, 100%]}", 2500, ["a rollout is added: continues at 25%"]),
        ("25%", "{stages: [1%, 100%], start_at: 100%}", 10_000, ["a rollout is added: starts at 100%"]),
        ("25%", "{stages: [50%, 100%]}", 5000, ["a rollout is added: starts at 50%"]),
        ("0%", "{stages: [1%, 100%]}", 100, ["a rollout is added: starts at 1%"]),
    ],
)
def test_rollout_that_is_added_continues_at_the_running_share(
    before: str, rollout: str, share: int, notes: list[str]
) -> None:
    change = only(
        config(f"name: a, match: GET /a, native: {before}"), config(f"name: a, match: GET /a, rollout: {rollout}")
    )
    assert (change.after, list(change.notes)) == (share, notes)


@pytest.mark.parametrize(("pin", "share"), [("legacy", 0), ("native", 10_000)])
def test_rollout_added_to_a_pinned_route_has_its_share(pin: str, share: int) -> None:
    rollout = f"name: a, match: GET /a, pin: {pin}, rollout: {{stages: [1%, 100%]}}"
    assert only(config("name: a, match: GET /a, native: 25%"), config(rollout)).after == share


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        ("pin: native, ", "pin: native, ", False),
        ("pin: legacy, ", "pin: legacy, ", False),
        ("pin: legacy, ", "", True),
        ("", "pin: legacy, ", True),
        ("", "", True),
    ],
)
def test_other_targets_move_callers_unless_a_pin_overrules_them(before: str, after: str, moves: bool) -> None:
    target = "name: a, match: GET /a, {}native: {{include: {{header:x: {}}}}}"
    change = only(config(target.format(before, "b")), config(target.format(after, "c")))
    assert (change.retargeted, change.moves_callers) == (moves, moves)
