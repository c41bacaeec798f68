"""Keys of guards, rollouts and fallbacks, and the errors and warnings about them."""

from __future__ import annotations

import pytest

from proxy.config.field_types import FULL
from proxy.config.loading import parse
from proxy.config.models import Route
from proxy.config.problems import ConfigError

MONGODB = {"MONGODB_URL": "mongodb://127.0.0.1"}


def text(route: str, rest: str = "native: a:b") -> str:
    return f"legacy: {{url: http://x}}\n{rest}\nroutes:\n  - {{name: a, match: GET /a, {route}}}\n"


def read(route: str) -> Route:
    return parse(text(route), {}).routes[0]


def faults(route: str, rest: str = "native: a:b") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text(route, rest), {})
    return [f"{each.where}: {each.message}" for each in caught.value.problems]


def notes(route: str, env: dict[str, str] | None = None) -> list[str]:
    return [f"{each.where}: {each.message}" for each in parse(text(route), MONGODB if env is None else env).notes]


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        (
            "rollout: {stages: [1%, 50%, 25%]}",
            "routes[a].rollout.stages: stages must go up: 25% comes after 50%",
        ),
        (
            "rollout: {stages: [1%, 1%]}",
            "routes[a].rollout.stages: stages must go up: 1% comes after 1%",
        ),
        ("rollout: {stages: [0%, 10%]}", "routes[a].rollout.stages[#1]: must be above 0%, not '0%'"),
        (
            "rollout: {stages: [10%, 101%]}",
            "routes[a].rollout.stages[#2]: a percentage is between 0% and 100%, not '101%'",
        ),
        ("rollout: {bake_time: 7d}", "routes[a].rollout.stages: is missing"),
        (
            "rollout: {stages: [1%], bake_time: 0s}",
            "routes[a].rollout.bake_time: a duration must be above zero and at most 365d, not '0s'",
        ),
        (
            "rollout: {stages: [1%], gates: {mismatches: 1%}}",
            "routes[a].rollout.gates.mismatches: unknown key; did you mean `mismatch`?",
        ),
        (
            "rollout: {stages: [1%], gates: {latency: 2x}}",
            "routes[a].rollout.gates.latency: unknown key here; it belongs at `routes.guard.latency`",
        ),
        ("rollout: {stages: [1%], minimum: 0}", "routes[a].rollout.minimum: must be between 1 and 1000000000, not '0'"),
        (
            "guard: {on_failure: previous}",
            "routes[a].guard.on_failure: there is no previous stage without a rollout",
        ),
        ("guard: {window: 0s}", "routes[a].guard.window: a duration must be above zero and at most 365d, not '0s'"),
        ("guard: {latency: 1x}", "routes[a].guard.latency: a ratio must be above 1x and at most 1000x, not '1x'"),
    ],
)
def test_impossible_rollout_is_refused(route: str, fault: str) -> None:
    assert faults(route) == [fault]


def test_health_check_without_native_is_refused() -> None:
    assert faults("native: 0%", "health: {path: /alive}") == [
        "health: needs a native app, and the file has no `native:`"
    ]


def test_rollout_ends_at_the_native_share() -> None:
    staged = "rollout: {stages: [1%, 10%]}"
    assert (read(staged).native, read(staged).share) == (FULL, 100)
    assert (read(f"native: 5%, {staged}").native, read(f"native: 5%, {staged}").share) == (500, 100)
    assert read(f"native: 0.5%, {staged}").share == 50
    assert (read(f"pin: legacy, {staged}").share, read(f"pin: native, {staged}").share) == (0, FULL)


def test_guard_without_settings_has_defaults() -> None:
    guard = read("guard: {}").guard
    assert guard is not None
    assert (guard.error_rate, guard.server_errors, guard.latency, guard.mismatch) == (500, 100, 2.0, None)


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("guard: {}, rollout: {stages: [1%, 100%]}", []),
        (
            "rollout: {stages: [1%, 100%]}",
            ["routes[a].rollout: raises the share, but without a `guard` nothing lowers it automatically"],
        ),
        (
            "native: 50%, guard: {}, rollout: {stages: [1%, 100%]}",
            ["routes[a].rollout: stages above `native`, which is 50%, are not reached"],
        ),
        (
            "guard: {mismatch: 1%}",
            ["routes[a].guard.mismatch: has no effect: no request of the route is compared, see `shadow`"],
        ),
        (
            "guard: {}, rollout: {stages: [1%], gates: {mismatch: 1%}}",
            ["routes[a].rollout.gates.mismatch: is not evaluated: no request of the route is compared, see `shadow`"],
        ),
        ("shadow: 5%, guard: {mismatch: 1%}, rollout: {stages: [1%], gates: {mismatch: 1%}}", []),
    ],
)
def test_surprising_rollout_is_noted(route: str, expected: list[str]) -> None:
    assert notes(route) == expected


def test_missing_mongodb_is_noted_where_state_is_shared() -> None:
    alone = ["mongodb: without it, each gateway keeps guards and rollouts in memory, and they are lost when it ends"]
    assert notes("guard: {}", {}) == alone
    assert notes("native: 5%", {}) == []
