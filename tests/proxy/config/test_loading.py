"""routing.yaml: its values, and all its problems at once, each with its line."""

from __future__ import annotations

import pickle
import re

import pytest
from pydantic import SecretStr

from proxy.config.field_types import FULL
from proxy.config.key_sources import KeySource
from proxy.config.loading import parse
from proxy.config.models import Bucketing, Config, Route
from tests.support.routing_texts import WHOLE, faults, routes


def test_complete_file_is_parsed() -> None:
    config = parse(WHOLE, {})
    assert config.legacy.url == "http://127.0.0.1:4500"
    assert (config.legacy.timeouts.connect, config.legacy.timeouts.response, config.legacy.timeouts.idle) == (
        0.5,
        30,
        60,
    )
    assert [str(source) for source in config.bucketing.key] == [
        "jwt:userID",
        "header:x-client-id",
        "cookie:sid",
        "client-ip",
    ]
    assert config.served_by is False
    assert config.access_log is True
    assert config.allowed_origins == ("http://localhost:3000", "https://app.example")
    listed, created, transcription = config.routes
    assert (listed.native, listed.shadow.share, listed.domain, listed.template) == (
        2500,
        FULL,
        "prompts",
        "/api/prompts",
    )
    assert listed.guard is not None
    assert (listed.guard.error_rate, listed.guard.latency, listed.guard.window) == (100, 1.5, 60.0)
    assert (created.native, created.shadow.share, created.shadow.writes) == (FULL, 500, "dry_run")
    assert created.rollout is not None
    assert (created.rollout.stages, created.rollout.gates.errors) == ((100, 1000, 10_000), 10)
    assert config.timeouts(transcription).model_dump() == {"connect": 0.5, "response": 120.0, "idle": 60.0}
    assert config.timeouts(None) is config.legacy.timeouts
    assert (transcription.share, transcription.domain) == (0, "transcription")


def test_configuration_is_a_frozen_value() -> None:
    config = parse(WHOLE, {})
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(parse(WHOLE, {}))
    with pytest.raises(ValueError, match="frozen"):
        config.legacy.url = "http://elsewhere"


def test_models_are_constructible_in_python() -> None:
    route = Route.model_validate({"name": "a", "match": "GET /a/{b}", "native": 2500, "pin": "native"})
    assert (route.share, route.pattern.method) == (FULL, "GET")
    bucketing = Bucketing(key=(KeySource("cookie", "sid"),))
    config = Config.model_validate({"legacy": {"url": "http://x"}, "routes": [route], "bucketing": bucketing})
    assert config.routes[0] is route
    assert config.routes[0] == Route.model_validate(
        {"name": "a", "match": "GET /a/{b}", "native": 2500, "pin": "native"}
    )
    assert Config.model_validate(config) == config


def test_keys_without_a_value_count_as_absent_with_a_warning() -> None:
    text = "legacy: {url: http://x}\nnative:\nlimits:\nx-anything:\nroutes:\n- {name: a, match: GET /a, shadow: ~}\n"
    config = parse(text, {})
    assert (config.native, config.limits.in_flight, config.routes[0].shadow.share) == (None, 1024, 0)
    assert [(note.line, note.where) for note in config.notes] == [(2, "native"), (3, "limits"), (6, "routes[a].shadow")]
    assert parse("legacy: {url: http://x}\nroutes:\n", {}).routes == ()


def test_required_key_without_a_value_is_missing() -> None:
    assert faults("legacy: {url: }\n") == ["1: legacy.url: is missing"]


def test_yaml_scalars_stay_text() -> None:
    config = parse("legacy: {url: http://x}\nbucketing: {salt: 1:30, key: client-ip}\nserved_by: off\n", {})
    assert config.bucketing.salt == "1:30"
    assert config.bucketing.key == (KeySource("client-ip"),)
    assert config.served_by is False


def test_problems_are_all_reported_in_file_order() -> None:
    text = """\
legacy:
  url: ftp://x
  timeoutes: {connect: 2s}
  timeouts: {connect: 2, respones: 1s}
response: 30s
salt: ${NOPE}
native: handlers.app
overrides: {secret: short, frob: 1}
bucketing: {key: [jwt, client-ip], salt: "${ALSO}"}
access_log: maybe
routes:
  - nmae: a
    match: GTE /x
    native: 25
  - name: b
    match: GET /x/{id}
    native: 25.005%
    native: 1%
    shadow: [a]
    rollout: {stages: [10%, 5%]}
  - name: b
    match: GET /x/y
    pin: natve
  - just text
  - name: c d
    match: HEAD /x/{z}
    shadow: {writes: dry_rn}
    rollout: {stages: []}
"""
    assert faults(text) == [
        "2: legacy.url: must be an http or https URL, as in http://127.0.0.1:4500, not 'ftp://x'",
        "3: legacy.timeoutes: unknown key; did you mean `timeouts`?",
        "4: legacy.timeouts.connect: "
        "must be a duration with its unit, as in 250ms, 2s, 5m, 12h or 7d; did you mean 2s?",
        "4: legacy.timeouts.respones: unknown key; did you mean `response`?",
        "5: response: unknown key here; it belongs at `legacy.timeouts.response` or `routes.timeouts.response`",
        "6: salt: the environment variable NOPE is not set (${NOPE:-…} gives a default)",
        "6: salt: unknown key here; it belongs at `bucketing.salt`",
        "7: native: must be the import string of an ASGI app, as in handlers.app:app, not 'handlers.app'",
        "8: overrides.frob: unknown key; known here: header, secret",
        "8: overrides.secret: must be 16 to 128 visible ASCII characters without `;`, or empty to switch it off",
        "9: bucketing.key[#1]: must be jwt:CLAIM, header:NAME, cookie:NAME or client-ip, not 'jwt'",
        "9: bucketing.salt: the environment variable ALSO is not set (${ALSO:-…} gives a default)",
        "10: access_log: must be true or false, not 'maybe'",
        "12: routes[#1].nmae: unknown key; did you mean `name`?",
        "13: routes[#1].match: 'GTE' is not a method; did you mean GET?",
        "14: routes[#1].native: must be a percentage in steps of 0.01%, as in 25% or 0.5%; did you mean 25%?",
        "17: routes[b].native: must be a percentage in steps of 0.01%, as in 25% or 0.5%, not '25.005%'",
        "18: native: already given on line 17",
        "19: routes[b].shadow: must be a mapping (`key: value`)",
        "20: routes[b].rollout.stages: stages must go up: 5% comes after 10%",
        "21: routes[b].name: the route on line 15 already has this name",
        "22: routes[b].match: unreachable: `GET /x/{id}` on line 16 matches all of its requests; "
        "put this route before it",
        "23: routes[b].pin: must be 'legacy' or 'native', not 'natve'",
        "24: routes[#4]: must be a mapping (`key: value`), not 'just text'",
        "25: routes[c d].name: must be 1 to 64 letters, digits, `.`, `_` or `-`, as in notes.create, not 'c d'",
        "26: routes[c d].match: unreachable: `GET /x/{id}` on line 16 matches HEAD too; put this route before it",
        "27: routes[c d].shadow.writes: must be 'never' or 'dry_run', not 'dry_rn'",
        "28: routes[c d].rollout.stages: must hold at least one item",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the file is empty; it needs `legacy: {url: …}` at least"),
        ("# nothing\n---\n", "the file is empty; it needs `legacy: {url: …}` at least"),
        ("\n- a\n- b\n", "2: must be a mapping (`key: value`), but is a list"),
        ("hello", "1: must be a mapping (`key: value`), but is a piece of text"),
        ("native: a:b\n", "1: legacy: is missing"),
        ("a: 1\nlegacy: {}\n", "2: legacy.url: is missing"),
        ("legacy: {url: http://x}\nroutes: {a: b}\n", "2: routes: must be a list"),
        ("legacy: {url: http://x}\nroutes: all\n", "2: routes: must be a list, not 'all'"),
        ("legacy: http://x\n", "1: legacy: must be a mapping (`key: value`), not 'http://x'"),
        ("legacy: {url: http://x}\nrevision: 1\n", "2: revision: unknown key here; it belongs at `routes.revision`"),
        ("legacy: {url: http://x}\nnotes: []\n", "2: notes: unknown key"),
        (
            "legacy: {url: http://x}\noverrides: {header: 'a b', secret: ''}\n",
            "2: overrides.header: must be a header's name",
        ),
        ("legacy: {url: http://x}\nbucketing: {key: []}\n", "2: bucketing.key: must hold at least one item"),
    ],
)
def test_file_of_another_shape_is_refused_clearly(text: str, complaint: str) -> None:
    assert any(fault.startswith(complaint) for fault in faults(text)), faults(text)


def test_misspelt_key_is_reported_once() -> None:
    assert faults("legacy: {ulr: http://x}\n") == ["1: legacy.ulr: unknown key; did you mean `url`?"]


def test_unset_variable_is_reported_once_a_value() -> None:
    assert faults("legacy: {url: '${NOPE}', max_connections: '${NOPE}'}\n") == [
        "1: legacy.max_connections: the environment variable NOPE is not set (${NOPE:-…} gives a default)",
        "1: legacy.url: the environment variable NOPE is not set (${NOPE:-…} gives a default)",
    ]


def test_duplicate_and_hidden_routes_are_refused_with_both_lines() -> None:
    text = routes(
        "- {name: a, match: GET /a}",
        "- {name: b, match: '* /b/*'}",
        "- {name: c, match: GET /A/}",
        "- {name: d, match: 'POST /b/{id}'}",
        "- {name: a, match: POST /a}",
        "- {name: e, match: 'HEAD /b/{id}'}",
    )
    assert faults(text) == [
        "6: routes[c].match: duplicate: `GET /a` on line 4 matches the same requests",
        "7: routes[d].match: unreachable: `* /b/*` on line 5 matches all of its requests; put this route before it",
        "8: routes[a].name: the route on line 4 already has this name",
        "9: routes[e].match: unreachable: `* /b/*` on line 5 matches all of its requests; put this route before it",
    ]


def test_settings_of_native_are_refused_without_it() -> None:
    text = routes(
        "- {name: a, match: GET /a, native: 1%}",
        "- {name: b, match: GET /b, pin: native, shadow: 1%}",
        "- {name: c, match: GET /c, on_legacy_down: native, rollout: {stages: [1%]}}",
        native="",
    )
    wanting = "needs a native app, and the file has no `native:`"
    assert faults(text) == [
        f"4: routes[a].native: {wanting}",
        f"5: routes[b].pin: {wanting}",
        f"5: routes[b].shadow: {wanting}",
        f"6: routes[c].on_legacy_down: {wanting}",
        f"6: routes[c].rollout: {wanting}",
    ]


def test_inapplicable_keys_are_refused() -> None:
    text = routes(
        "- {name: a, match: WS /a, shadow: {share: 5%, writes: dry_run}}",
        "- {name: b, match: POST /b, on_native_error: legacy}",
        "- {name: c, match: GET /c, group: b}",
    )
    assert faults(text) == [
        "4: routes[a].shadow.writes: has no effect on a WebSocket, which always runs dry; write `shadow: 5%` for 5% of"
        " callers",
        "5: routes[b].on_native_error: only reads may be repeated on legacy, and POST is not one",
        "6: routes[c].group: the route on line 5 has this name, but not this group; give it the group too",
    ]


def test_valid_but_surprising_settings_are_noted() -> None:
    text = routes(
        "- {name: a, match: POST /a, shadow: 5%, group: prompts}",
        "- {name: b, match: GET /b, group: prompt}",
        "- {name: c, match: GET /c, native: 5%, pin: legacy}",
        "- {name: e, match: '* /e', shadow: 5%}",
        "- {name: d, match: GET /d, guard: {}, rollout: {stages: [1%]}, on_legacy_down: native,"
        " on_native_error: legacy}",
    )
    notes = [f"{note.line}: {note.where}: {note.message}" for note in parse(text, {}).notes]
    assert notes == [
        "1: mongodb: without it, each gateway keeps guards and rollouts in memory, and they are lost when it ends",
        "4: routes[a].group: no other route is in the group prompts; did you mean prompt?",
        "4: routes[a].shadow: POST requests are writes, and shadow.writes is never: none will run",
        "5: routes[b].group: no other route is in the group prompt; did you mean prompts?",
        "6: routes[c].pin: the route is pinned to legacy, so the share of 5% is not used",
    ]


def test_environment_values_and_secrets_are_never_quoted() -> None:
    text = "legacy: {url: '${URL}'}\noverrides: {secret: too-short-secret; }\nbucketing: {key: '${KEY:-}'}\n"
    reported = faults(text, URL="redis://:hunter2@x")
    assert reported[0].endswith("as in http://127.0.0.1:4500 (its value comes from the environment)")
    assert not any("hunter2" in fault or "too-short-secret" in fault for fault in reported)


@pytest.mark.parametrize(
    "text",
    [
        "legacy: {url: 'http://user:hunter2@x'}",
        "legacy: {url: 'ftp://user:hunter2/3@x'}",
        "legacy: 'http://user:hunter2@x'",
        "legacy: {url: http://x}\nmongodb: mongodb://user:hunter2@x",
        "legacy: {url: http://x}\nnotify: https://hooks.example/services/hunter2",
        "legacy: {url: http://x}\noverrides: hunter2-hunter2-hunter2",
        "legacy: {url: http://x}\ntokens: hunter2",
        "legacy: {url: http://x}\nnative: https://user:hunter2@x",
        "legacy: {url: http://x}\nops: {url: 'https://user:hunter2@x'}",
        "legacy: {url: http://x}\nroutes: [{name: a, match: 'GET https://user:hunter2@x'}]",
    ],
)
def test_credentials_in_the_file_are_never_quoted(text: str) -> None:
    reported = faults(text)
    assert reported
    assert not any("hunter2" in fault for fault in reported)


def test_environment_never_becomes_structure() -> None:
    config = parse("legacy: {url: http://x}\nbucketing: {salt: '${SALT}'}\n", {"SALT": "a, key: [b] }"})
    assert config.bucketing.salt == "a, key: [b] }"


def test_secret_is_absent_from_reprs() -> None:
    config = parse(WHOLE, {})
    assert config.overrides is not None
    assert config.overrides.secret == SecretStr("0123456789abcdef")
    assert "0123456789abcdef" not in repr(config) + str(config) + config.revision


@pytest.mark.parametrize(("value", "pin"), [("legacy", "legacy"), ("native", "native"), ("", None)])
def test_environment_can_pin_all_routes(value: str, pin: str | None) -> None:
    assert parse(WHOLE, {"SCRIBE_PROXY_PIN": value}).pin == pin


def test_invalid_pin_is_refused() -> None:
    assert faults(WHOLE, SCRIBE_PROXY_PIN="natve") == [
        "SCRIBE_PROXY_PIN: the environment variable must be legacy or native, not 'natve'"
    ]
    assert faults("legacy: {url: http://x}", SCRIBE_PROXY_PIN="native") == [
        "SCRIBE_PROXY_PIN: the environment variable pins all to native; there is no `native:` app"
    ]


def test_revision_depends_on_the_files_content_only() -> None:
    first = parse("# comment\nlegacy: {url: '${U:-http://x}'}\nnative: a:b\n", {}).revision
    assert re.fullmatch("[0-9a-f]{12}", first)
    assert parse("native:   a:b\nlegacy:\n  url: ${U:-http://x}\n", {"U": "http://y"}).revision == first
    assert parse("legacy: {url: '${U:-http://x}'}\nnative: a:c\n", {}).revision != first


@pytest.mark.parametrize("key", ["ip", "IP", "client_ip", "remote-addr"])
def test_another_name_of_the_address_has_a_hint(key: str) -> None:
    (fault,) = faults(f"legacy: {{url: http://x}}\nbucketing: {{key: [jwt:userID, {key}]}}\n")
    assert "or client-ip; did you mean client-ip?" in fault
