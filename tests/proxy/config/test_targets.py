"""Targets in routing.yaml: valid ones, contradictions, and lists in files."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from proxy.config.key_sources import KeySource
from proxy.config.loading import MAX_BYTES, load, parse
from proxy.config.models import Config, Route
from proxy.config.problems import ConfigError
from proxy.config.targets import list_files

HEAD = "legacy: {url: http://x}\nnative: a:b\nmongodb: {url: mongodb://x}\ntokens: {secret: s}\n"


def text(native: str, head: str = HEAD, more: str = "") -> str:
    return f"{head}routes:\n- {{name: a, match: GET /a, native: {native}{more}}}\n"


def read(native: str, more: str = "") -> Route:
    return parse(text(native, more=more), {}).routes[0]


def problems(native: str, head: str = HEAD, more: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text(native, head, more), {})
    return [f"{each.where}: {each.message}" for each in caught.value.problems]


def test_targets_are_parsed_beside_a_share() -> None:
    route = read(
        "{share: 25%, include: {jwt:userID: [amara, ben], header:X-Staff: 1}, exclude: {client-ip: 10.0.0.0/8}}"
    )
    traffic = route.native_traffic
    assert (route.native, route.targeted, read("25%").targeted) == (2500, True, False)
    assert traffic.include[KeySource("jwt", "userID")].values == {"amara", "ben"}
    assert traffic.include[KeySource("header", "x-staff")].values == {"1"}
    assert [str(each) for each in traffic.exclude[KeySource("client-ip")].networks] == ["10.0.0.0/8"]
    assert pickle.loads(pickle.dumps(route)) == route
    assert hash(route) == hash(pickle.loads(pickle.dumps(route)))


@pytest.mark.parametrize("rollout", [", rollout: {stages: [1%]}", ""])
def test_rollout_without_a_share_ends_at_full_native(rollout: str) -> None:
    assert read("{include: {jwt:userID: amara}}", rollout).native == (10_000 if rollout else 0)


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ("{include: {jwt: a}}", "include.jwt: must be jwt:CLAIM, header:NAME, cookie:NAME or client-ip, not 'jwt'"),
        ("{include: {jwt:x: []}}", "include.jwt:x: must be a value, a list of values, or {file: NAME}"),
        ("{include: {jwt:x: {a: b}}}", "include.jwt:x: must be a value, a list of values, or {file: NAME}"),
        ("{include: {jwt:x: ['']}}", "include.jwt:x: a value must be printable text of 1 to 256 characters"),
        (
            "{include: {jwt:x: {file: ../x}}}",
            "include.jwt:x: ../x must be a file beside routing.yaml, or below its directory",
        ),
        (
            "{include: {client-ip: 10.0.0.0/40}}",
            "include: client-ip: '10.0.0.0/40' is neither an address nor a network as in 10.0.0.0/8",
        ),
        ("{includ: {}}", "includ: unknown key; did you mean `include`?"),
    ],
)
def test_wrong_target_is_reported(native: str, expected: str) -> None:
    assert problems(native) == [f"routes[a].native.{expected}"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ("{jwt:clinic: [7, 8]}", "{jwt:clinic: 8}", "jwt:clinic 8 is included and excluded"),
        (
            "{client-ip: 10.0.0.7}",
            "{client-ip: 10.0.0.0/8}",
            "client-ip 10.0.0.7 is included, and 10.0.0.0/8 is excluded",
        ),
        ("{client-ip: 10.0.0.7}", "{client-ip: 10.0.0.7}", "client-ip 10.0.0.7 is included, and 10.0.0.7 is excluded"),
    ],
)
def test_targets_that_contradict_are_refused(include: str, exclude: str, expected: str) -> None:
    assert problems(f"{{include: {include}, exclude: {exclude}}}") == [
        f"routes[a].native: targets contradict each other: {expected}"
    ]


@pytest.mark.parametrize(
    ("include", "exclude"),
    [
        ("{jwt:a: 1}", "{jwt:b: 1}"),
        ("{client-ip: 10.0.0.0/8}", "{client-ip: 10.0.0.7}"),
        ("{client-ip: '::1'}", "{client-ip: 0.0.0.0/0}"),
    ],
)
def test_targets_that_overlap_in_part_are_accepted(include: str, exclude: str) -> None:
    assert read(f"{{include: {include}, exclude: {exclude}}}").targeted


def test_claim_target_requires_the_tokens_secret() -> None:
    head = HEAD.replace("tokens: {secret: s}\n", "")
    assert problems("{include: {jwt:userID: a}}", head) == [
        "routes[a].native.include.jwt:userID: "
        "jwt:userID needs `tokens.secret`: claims are read from verified tokens only"
    ]
    assert parse(text("{include: {header:x: a}}", head), {}).routes[0].targeted


def test_include_requires_a_native_app() -> None:
    assert problems("{include: {header:x: a}}", HEAD.replace("native: a:b\n", "")) == [
        "routes[a].native: needs a native app, and the file has no `native:`"
    ]


@pytest.mark.parametrize(
    ("native", "more", "expected"),
    [
        ("{share: 100%, include: {header:x: a}}", "", "include: has no effect: native's share is 100% already"),
        ("{exclude: {header:x: a}}", "", "exclude: has no effect: native's share is 0%"),
        ("{share: 5%, exclude: {header:x: a}}", "", None),
        ("{include: {header:x: a}}", ", pin: legacy", "include: has no effect: the route is pinned to legacy"),
    ],
)
def test_ineffective_targets_are_noted(native: str, more: str, expected: str | None) -> None:
    messages = [f"{note.where}: {note.message}" for note in parse(text(native, more=more), {}).notes]
    assert [each for each in messages if "has no effect" in each] == (
        [f"routes[a].native.{expected}"] if expected else []
    )


def test_targets_of_a_group_apply_to_its_routes() -> None:
    groups = "groups: {g: {native: {include: {header:x: a}}, rollout: {stages: [1%]}}}\n"
    listed = "routes: [{name: a, match: GET /a, group: g}, {name: b, match: POST /a, group: g}]"
    config = parse(HEAD + groups + listed, {})
    assert [(route.native, route.targeted) for route in config.routes] == [(10_000, True)] * 2


# --- lists in a file beside it ---


def loaded(directory: Path, staff: bytes, name: str = "lists/staff.txt") -> Config:
    (directory / "lists").mkdir(exist_ok=True)
    (directory / "lists" / "staff.txt").write_bytes(staff)
    (directory / "routing.yaml").write_text(text(f"{{include: {{jwt:userID: {{file: {name}}}}}}}"))
    return load(directory / "routing.yaml", {})


def test_list_is_read_from_a_file(tmp_path: Path) -> None:
    config = loaded(tmp_path, b"\xef\xbb\xbf# staff\namara\n  ben  # on leave\n\n")
    target = config.routes[0].native_traffic.include[KeySource("jwt", "userID")]
    assert (sorted(target.values), target.file) == (["amara", "ben"], "lists/staff.txt")
    assert loaded(tmp_path, b"amara\n").revision != config.revision


@pytest.mark.parametrize(
    ("staff", "expected"),
    [
        (b"# nobody\n", "lists/staff.txt holds no value"),
        (b"\xff\n", "codec can't decode"),
        (b"x" * 300, "a value must be printable text"),
        (b"a\n" * MAX_BYTES, "is larger than 1 MiB"),
    ],
)
def test_invalid_list_is_reported_at_its_reference(tmp_path: Path, staff: bytes, expected: str) -> None:
    with pytest.raises(ConfigError, match=r"routes\[a\]\.native\.include\.jwt:userID: .*" + expected):
        loaded(tmp_path, staff)


def test_missing_list_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.txt cannot be read: No such file or directory"):
        loaded(tmp_path, b"a", "none.txt")


def test_list_files_are_recognized_in_any_text() -> None:
    files = list_files(
        'a: {file: staff.txt}\nb:\n  file: \'lists/x.txt\'\n{{ broken: "file": "y" file: staff.txt # profile: z\n'
    )
    assert files == ("lists/x.txt", "staff.txt", "y")


@pytest.mark.parametrize(
    ("key", "secret", "guard", "expected"),
    [
        ("jwt:userID", "''", "{}", True),
        ("jwt:userID", "s", "{}", False),
        ("client-ip", "''", "{}", False),
        ("jwt:userID", "''", "{min_callers: 1}", False),
        ("jwt:userID", "''", "off", False),
    ],
)
def test_guards_without_verified_callers_are_noted(key: str, secret: str, guard: str, expected: bool) -> None:
    head = HEAD.replace("secret: s", f"secret: {secret}") + f"bucketing: {{key: {key}}}\n"
    messages = [f"{note.where}: {note.message}" for note in parse(text("5%", head, f", guard: {guard}"), {}).notes]
    message = "guards count callers by address alone: without `tokens.secret` no `jwt:` key is verified"
    assert (f"bucketing.key: {message}" in messages) is expected
