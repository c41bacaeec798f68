"""`groups` and `defaults`: the setting in force on a route, and settings that a group's routes must share."""

from __future__ import annotations

import pytest

from proxy.config.loading import load, parse
from proxy.config.models import Config
from proxy.config.problems import ConfigError
from tests.support.shipped import ROUTING

HEAD = "legacy: {url: http://x}\nnative: a:b\nmongodb: {url: mongodb://x}\n"
A, B = "name: a, match: GET /a, group: g", "name: b, match: POST /b, group: g"


def text(*routes: str, groups: str = "{}", defaults: str = "{}") -> str:
    """Return a file whose groups are on line 4, its defaults on line 5, its routes from line 7."""
    listed = "".join(f"- {{{route}}}\n" for route in routes)
    return f"{HEAD}groups: {groups}\ndefaults: {defaults}\nroutes:\n{listed}"


def read(*routes: str, groups: str = "{}", defaults: str = "{}") -> Config:
    return parse(text(*routes, groups=groups, defaults=defaults), {})


def problems(*routes: str, groups: str = "{}", defaults: str = "{}") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(*routes, groups=groups, defaults=defaults)
    return [each.located("") for each in caught.value.problems]


def test_nearest_setting_counts_as_a_whole() -> None:
    config = read(
        A,
        "name: b, match: GET /b, group: g, guard: {window: 2m}, shadow: 5%",
        "name: c, match: GET /c",
        groups="{g: {native: 25%, guard: {error_rate: 1%}, timeouts: {response: 1m}}}",
        defaults="{native: 1%, shadow: 100%, guard: {mismatch: 1%}, timeouts: {connect: 1s}}",
    )
    a, b, c = config.routes
    assert [route.native for route in config.routes] == [2500, 2500, 100]
    assert [route.shadow.share for route in config.routes] == [10_000, 500, 10_000]
    assert a.guard is not None
    assert b.guard is not None
    assert c.guard is not None
    assert (a.guard.error_rate, a.guard.mismatch, b.guard.error_rate, c.guard.mismatch) == (100, None, 500, 100)
    assert config.timeouts(a).response == 60
    assert config.timeouts(a).connect == 2


def test_group_with_a_rollout_defaults_to_full_native() -> None:
    a, b = read(A, B, groups="{g: {rollout: {stages: [1%, 50%]}}}").routes
    assert a.rollout is not None
    assert a.rollout == b.rollout
    assert (a.native, a.share, b.share) == (10_000, 100, 100)


@pytest.mark.parametrize("off", ["off", "false", "no"])
def test_off_cancels_an_inherited_setting(off: str) -> None:
    defaults = "{guard: {}, rollout: {stages: [1%]}, native: 5%}"
    config = read(
        f"name: a, match: GET /a, guard: {off}",
        f"{A.replace('/a', '/b').replace(': a', ': b')}",
        groups=f"{{g: {{guard: {off}, rollout: {off}}}}}",
        defaults=defaults,
    )
    a, b = config.routes
    assert (a.guard, a.rollout is not None, a.native) == (None, True, 500)
    assert (b.guard, b.rollout, b.native) == (None, None, 500)


@pytest.mark.parametrize(
    ("match", "setting", "shadowed", "repeated"),
    [
        ("GET /a", "100%", True, True),
        ("POST /a", "100%", False, False),
        ("POST /a", "{share: 100%, writes: dry_run}", True, False),
        ("'* /a'", "100%", True, False),
        ("WS /a", "{share: 100%, writes: dry_run}", False, False),
    ],
)
def test_route_inherits_applicable_defaults_only(match: str, setting: str, shadowed: bool, repeated: bool) -> None:
    config = read(f"name: a, match: {match}", defaults=f"{{shadow: {setting}, on_native_error: legacy}}")
    (route,) = config.routes
    assert (route.shadow.share > 0, route.on_native_error == "legacy", config.notes) == (shadowed, repeated, ())


def test_group_without_shadow_ends_the_default() -> None:
    assert read(A, groups="{g: {shadow: 0%}}", defaults="{shadow: 100%}").routes[0].shadow.share == 0


@pytest.mark.parametrize(
    ("one", "other", "groups", "expected"),
    [
        ("native: 25%", "native: 1%", "{}", "8: routes[b].native: 1% here, 25% on line 7"),
        ("native: 25%", "", "{}", "8: routes[b].native: 0% here, 25% on line 7"),
        ("native: 1%", "", "{g: {native: 2%}}", "7: routes[a].native: 1% here, 2% on line 4"),
        ("revision: x", "revision: y", "{}", "8: routes[b].revision: y here, x on line 7"),
        (
            "native: 100%, rollout: {stages: [1%, 2%]}",
            "native: 100%, rollout: {stages: [1%]}",
            "{}",
            "8: routes[b].rollout: 1% here, 1% → 2% on line 7",
        ),
    ],
)  # fmt: skip
def test_different_shares_within_a_group_are_refused(one: str, other: str, groups: str, expected: str) -> None:
    reported = problems(f"{A}, {one}", f"{B}{', ' if other else ''}{other}", groups=groups)
    where, values = expected.rsplit(": ", 1)
    assert reported == [f":{where}: differs within the group g: {values}; write it once, under `groups`"]


def test_group_without_routes_is_refused() -> None:
    assert problems(A, B, groups="{g: {}, gg: {}}") == [
        ":4: groups.gg: names no route: none has `group: gg`; did you mean g?"
    ]
    assert problems("name: a, match: GET a, group: g", groups="{g: {}}")[0].startswith(":7: routes[a].match: ")


def test_wrong_group_settings_are_reported_once_with_their_line() -> None:
    assert problems(A, B, groups="{g: {native: 25, gard: {}}}") == [
        ":4: groups.g.gard: unknown key; did you mean `guard`?",
        ":4: groups.g.native: must be a percentage in steps of 0.01%, as in 25% or 0.5%; did you mean 25%?",
    ]
    assert problems(A, B, groups="{g: {guard: {on_failure: previous}}}") == [
        ":4: groups.g.guard.on_failure: there is no previous stage without a rollout"
    ]


def test_warning_about_a_default_is_given_at_the_default() -> None:
    guard = "{guard: {mismatch: 1%}}"
    where = ":5: defaults.guard.mismatch: has no effect: no request of the route is compared, see `shadow`"
    assert [note.located("") for note in read(A, B, groups="{g: {}}", defaults=guard).notes] == [where]
    assert read(f"{A}, shadow: 1%", B, defaults=guard).notes == ()


def test_pin_on_a_part_of_a_group_is_a_warning() -> None:
    (note,) = read(f"{A}, pin: legacy", B).notes
    assert (
        note.message
        == "pins this route alone, not the others of the group g: a caller may change backends between them"
    )
    assert read(A, B, groups="{g: {pin: native}}").notes == ()


def test_shipped_file_compares_reads_and_a_websocket() -> None:
    config = load(ROUTING, {})
    compared = {route.name for route in config.routes if route.shadow.share}
    reads = {route.name for route in config.routes if route.pattern.method == "GET"}
    assert compared == {*reads, "transcription"}
    assert set(config.groups) == {route.group for route in config.routes if route.group is not None}
