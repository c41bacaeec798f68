"""`scribe-proxy explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner, Result

from proxy.cli.main import main
from proxy.gateway.bucketing import bucket

FILE = """\
legacy: {url: http://x}
native: a:b
bucketing: {key: [jwt:userID, header:x-client-id, client-ip], salt: s}
overrides: {header: x-side, secret: 0123456789abcdef}
routes:
- {name: prompts.list, match: GET /api/prompts, native: 25%, group: prompts, shadow: 5%}
- {name: prompts.update, match: "PATCH /api/prompts/{id}", native: 25%, group: prompts}
- {name: socket, match: WS /socket}
- {name: pinned, match: GET /pinned, native: 50%, pin: legacy}
"""


def run(file: Path, *arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner(env=env).invoke(main, ["explain", *arguments, "--config", str(file)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(FILE)
    return path


def data(file: Path, *arguments: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    result = run(file, *arguments, "--json", env=env)
    assert result.exit_code == 0, result.output
    explained: dict[str, Any] = json.loads(result.stdout)
    return explained


def test_backend_follows_bucket_and_share(file: Path) -> None:
    bucket_number = bucket("s", "prompts", "bob")
    explained = data(file, "GET", "/API/prompts/?q=1", "--key", "bob")
    assert explained["bucket"] == bucket_number
    assert (explained["backend"], explained["reason"]) == ("native" if bucket_number < 2500 else "legacy", "share")
    assert explained["because"].startswith(f"bucket {bucket_number} is ")
    assert (explained["native"], explained["shadow"], explained["shadowed"]) == ("25%", "5%", bucket_number >= 9500)
    assert explained["grouped_with"] == ["prompts.update"]


def test_explanation_lists_labelled_lines(file: Path) -> None:
    output = run(file, "patch", "/api/prompts/a%2Fb", "--client-ip", "10.0.0.1").output
    lines = dict(line.rstrip().split(maxsplit=1) for line in output.splitlines())
    bucket_number = bucket("s", "prompts", "10.0.0.1")
    assert lines == {
        "backend": "native" if bucket_number < 2500 else "legacy",
        "reason": lines["reason"],
        "route": "prompts.update (PATCH /api/prompts/{id})",
        "param": "id = 'a/b'",
        "key": "'10.0.0.1', from client-ip",
        "bucket": f"{bucket_number} of 0 to 9999, drawn for group prompts with salt 's'",
        "group": "prompts: the same bucket on prompts.list",
        "share": "25% of callers answered natively",
        "revision": lines["revision"],
    }
    assert "5% of callers, " in run(file, "GET", "/api/prompts", "--key", "bob").output
    assert "drawn for this route alone" in run(file, "WS", "/socket", "--key", "bob").output


def test_key_is_read_from_headers(file: Path) -> None:
    token = jwt.encode({"userID": "amara"}, "x" * 32)
    explained = data(file, "GET", "/api/prompts", "--header", f"Authorization: Bearer {token}")
    assert (explained["key"], explained["key_source"]) == ("amara", "jwt:userID")
    explained = data(file, "GET", "/api/prompts", "--header", "X-Client-Id: 7", "--client-ip", "10.0.0.1")
    assert (explained["key"], explained["key_source"]) == ("7", "header:x-client-id")


@pytest.mark.parametrize(
    ("arguments", "backend", "reason", "because"),
    [
        (("GET", "/api/prompts"), "legacy", "no-key", "the request has no bucketing key, and the share is 25%"),
        (("GET", "/nope"), "legacy", "no-route", "no route matches; unmatched requests go to legacy"),
        (("POST", "/api/prompts"), "legacy", "no-route", "(this path is routed for GET)"),
        (("GET", "/pinned", "--key", "k"), "legacy", "pin", "the route is pinned to legacy"),
        (
            ("GET", "/nope", "--header", "x-side: native; key=0123456789abcdef"),
            "native",
            "override",
            "the override header selects it, with the right secret",
        ),
    ],
)
def test_reason_is_explained_in_a_sentence(
    file: Path, arguments: tuple[str, ...], backend: str, reason: str, because: str
) -> None:
    explained = data(file, *arguments)
    assert (explained["backend"], explained["reason"]) == (backend, reason)
    assert because in explained["because"]


def test_environment_pin_is_explained(file: Path) -> None:
    explained = data(file, "GET", "/api/prompts", "--key", "k", env={"SCRIBE_PROXY_PIN": "native"})
    assert (explained["backend"], explained["because"]) == ("native", "SCRIBE_PROXY_PIN pins everything to native")


def test_file_without_native_is_all_legacy(file: Path) -> None:
    file.write_text("legacy: {url: http://x}\n")
    assert data(file, "GET", "/")["because"] == "the file names no native app"


def test_wrong_usage_and_invalid_files_have_different_codes(file: Path) -> None:
    assert run(file, "GET", "nope").exit_code == 2
    assert run(file, "GET", "/", "--header", "nonsense").exit_code == 2
    file.write_text("legacy: {}\n")
    result = run(file, "GET", "/")
    assert (result.exit_code, result.stdout, result.stderr) == (
        1,
        "",
        f"{file}:1:1: legacy.url: is missing\n    1 | legacy: {{}}\n        ^\n",
    )


def test_path_of_any_bytes_is_explained(file: Path) -> None:
    assert data(file, "PATCH", "/api/prompts/\udcff\udcfe")["params"] == {"id": "\xff\xfe"}


def test_rollout_is_explained_at_its_first_stage_by_default(file: Path) -> None:
    bucket_number = bucket("s", "staged", "k")
    file.write_text(FILE + "- {name: staged, match: GET /staged, rollout: {stages: [0.01%, 100%]}}\n")
    explained = data(file, "GET", "/staged", "--key", "k")
    assert (explained["backend"], explained["reason"], explained["stage"], explained["native"]) == (
        "legacy",
        "share",
        "0.01%",
        "100%",
    )
    assert explained["because"] == f"bucket {bucket_number} is not below 1, where the native share of 0.01% ends"
    assert data(file, "GET", "/staged", "--key", "k", "--stage", "100%")["backend"] == "native"
    assert "0.01%, if the rollout is at this stage" in run(file, "GET", "/staged", "--key", "k").output
    assert data(file, "GET", "/pinned")["stage"] is None


def test_target_that_decides_is_named(tmp_path: Path) -> None:
    (tmp_path / "staff.txt").write_text("amara\n")
    path = tmp_path / "targets.yaml"
    path.write_text(
        "legacy: {url: http://x}\nnative: a:b\ntokens: {secret: " + "s" * 32 + "}\n"
        "routes: [{name: a, match: GET /a, native: {share: 50%, include: {jwt:userID: {file: staff.txt}},"
        " exclude: {client-ip: 10.0.0.0/8}}}]\n"
    )
    signed, forged = (jwt.encode({"userID": "amara"}, secret * 32) for secret in "sf")
    staff = data(path, "GET", "/a", "--header", f"Authorization: Bearer {signed}")
    assert (staff["backend"], staff["reason"]) == ("native", "include")
    assert staff["because"] == "`native.include` names jwt:userID amara (from staff.txt)"
    assert data(path, "GET", "/a", "--header", f"Authorization: Bearer {forged}")["reason"] == "no-key"
    never = data(path, "GET", "/a", "--client-ip", "10.2.3.4", "--header", f"Authorization: Bearer {signed}")
    assert (never["backend"], never["because"]) == ("legacy", "`native.exclude` names client-ip 10.0.0.0/8")


TARGETED = """\
legacy: {url: http://x}
native: a:b
tokens: {secret: 0123456789abcdef0123456789abcdef}
bucketing: {key: [jwt:userID, client-ip]}
routes:
- name: a
  match: GET /a
  native: {share: 0%, include: {jwt:clinic: north, header:x-staff: "yes"}, exclude: {client-ip: 10.0.0.0/8}}
"""
UNTESTED = ["client-ip", "jwt:clinic", "header:x-staff"]


@pytest.mark.parametrize(
    ("arguments", "reason", "untested"),
    [
        (("--key", "k"), "share", UNTESTED),
        (("--claim", "clinic=north"), "include", ["client-ip", "header:x-staff"]),
        (("--claim", "clinic=south", "--claim", "userID=amara"), "share", ["client-ip", "header:x-staff"]),
        (("--client-ip", "10.0.0.1", "--claim", "clinic=north"), "exclude", []),
        (("--header", "X-Staff: yes", "--client-ip", "192.0.2.1"), "include", ["jwt:clinic"]),
        (("--header", "Authorization: Bearer a.b.c"), "share", UNTESTED),
    ],
)
def test_untestable_targets_are_listed(
    file: Path, arguments: tuple[str, ...], reason: str, untested: list[str]
) -> None:
    file.write_text(TARGETED)
    explained = data(file, "GET", "/a", *arguments)
    assert (explained["untested"], explained["reason"]) == (untested, reason)
    assert ("untested" in run(file, "GET", "/a", *arguments).stdout) == bool(untested)


def test_claims_option_provides_keys(file: Path) -> None:
    file.write_text(TARGETED)
    explained = data(file, "GET", "/a", "--claim", "userID=amara")
    assert (explained["key"], explained["key_source"]) == ("amara", "jwt:userID")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("GET", "prompts.list"), "must begin with a slash; the route prompts.list is GET /api/prompts"),
        (("GTE", "/api/prompts"), "there is no method GTE; did you mean GET?"),
        (("GET", "/a", "--claim", "clinic"), "'clinic' is not `NAME=VALUE`"),
        (("GET", "/a", "--claim", "a=b", "--header", "Authorization: x"), "not both"),
    ],
)
def test_mistyped_request_gets_a_suggestion(file: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run(file, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_unknown_path_names_a_similar_route(file: Path) -> None:
    assert "(similar to GET /api/prompts, which is a route)" in data(file, "GET", "/api/prompt")["because"]


def test_explain_needs_the_variables_of_its_answer_only(file: Path) -> None:
    text = FILE.replace("http://x", "'${UNSET}'").replace("0123456789abcdef", "'${UNSET_SECRET}'")
    file.write_text(text + "tokens: {secret: '${UNSET_TOKENS}'}\nnotify: {url: '${UNSET}'}\n")
    assert data(file, "GET", "/api/prompts", "--key", "bob")["bucket"] == bucket("s", "prompts", "bob")
    assert data(file, "GET", "/api/prompts", "--claim", "userID=bob")["bucket"] == bucket("s", "prompts", "bob")
    for header, variable in (("x-side: native; key=s", "UNSET_SECRET"), ("authorization: Bearer t", "UNSET_TOKENS")):
        result = run(file, "GET", "/api/prompts", "--header", header)
        assert (result.exit_code, result.stderr.count("is not set")) == (1, 1)
        assert f"the environment variable {variable} is not set" in result.stderr
    file.write_text(text.replace("salt: s", "salt: '${UNSET_SALT}'"))
    assert run(file, "GET", "/api/prompts", "--key", "bob").exit_code == 1
