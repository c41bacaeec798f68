"""A sample's request as a recording and as a curl command, played on two real services."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from proxy.capture.agent import CaptureAgent
from proxy.cli.main import main
from proxy.comparison.exchanges import compare
from proxy.config.models import Config
from proxy.reports import samples
from proxy.reports.events import ComparisonEvent
from proxy.reports.models import Sample
from proxy.reports.redaction import Redactor
from proxy.reports.reproduction import NotReproducible, curl, find_login, scenario
from tests.support.exchanges import answered
from tests.support.sockets import threaded

CONFIG = Config.model_validate(
    {"legacy": {"url": "http://a"}, "native": "a.b:c", "routes": [{"name": "patients", "match": "GET /patients/{id}"}]}
)
PATIENT = "Agnes Nightingale"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
LOGIN: list[dict[str, Any]] = [
    {"name": "register", "request": {"method": "POST", "path": "/register"}, "response": {"json": {}}},
    {"name": "login", "request": {"method": "POST", "path": "/login"}, "response": {"json": {"token": TOKEN}}},
    {"name": "profile", "request": {"method": "GET", "path": "/me"}, "response": {"json": {}}},
]


def service(answer: Mapping[str, object], only: str | None = None) -> Any:
    """Return an app that answers every patient, or only one."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        known = only is None or request.url.path.endswith(only)
        response: Response = JSONResponse(dict(answer) if known else {"msg": "absent"}, 200 if known else 404)
        await response(scope, receive, send)

    return app


def sample(target: str = "/patients/Agnes?q=Agnes", **headers: str) -> Sample:
    legacy, native = (answered({"name": PATIENT, key: 1}, target=target) for key in ("count", "total"))
    if headers:
        sent = tuple((name.encode(), value.encode()) for name, value in headers.items())
        legacy = legacy._replace(request_headers=sent)
    comparison = ComparisonEvent("patients", None, "legacy", compare(legacy, native), legacy, native)
    step = CaptureAgent(None, CONFIG).reproduce(comparison)
    fields = [("body.count", "missing")]
    document = samples.document(comparison, fields, Redactor(b"sixteen bytes or more"), time.time(), None, step)  # type: ignore[arg-type]
    return samples.sample(document, set())


def test_recording_has_no_value_and_lists_replacements() -> None:
    written = scenario(sample(authorization=f"Bearer {TOKEN}"))
    text = json.dumps(written)
    assert PATIENT not in text
    assert "Agnes" not in text
    assert TOKEN not in text
    assert "the path's parameters, the credentials (a login is needed)" in str(written["about"])


def test_login_precedes_and_its_token_is_used() -> None:
    recordings = json.dumps([{"scenario": "login", "steps": LOGIN}])
    written: Any = scenario(sample(authorization=f"Bearer {TOKEN}"), find_login(recordings, "login"))
    assert [step["name"] for step in written["steps"]] == ["register", "login", "request"]
    assert written["steps"][-1]["request"]["headers"]["authorization"] == "Bearer {{login:/token}}"
    with pytest.raises(NotReproducible, match="no scenario other"):
        find_login(recordings, "other")
    with pytest.raises(NotReproducible, match="answers with a token"):
        scenario(sample(), LOGIN[:1])


@pytest.mark.parametrize(("only", "reproduced"), [(None, True), ("Agnes", False)])
def test_recording_reproduces_differences_of_shape(only: str | None, reproduced: bool, tmp_path: Path) -> None:
    # Legacy answers `count` and native `total`, for every patient or for one alone.
    file, recorded = tmp_path / "sample.json", tmp_path / "recorded"
    file.write_text(json.dumps([scenario(sample())]))
    with (
        threaded(service({"count": 1}, only), "off") as legacy,
        threaded(service({"total": 1}, only), "off") as native,
    ):
        made = CliRunner().invoke(main, ["record", str(file), "--base-url", legacy, "--into", str(recorded)])
        assert made.exit_code == 0, made.output
        played = CliRunner().invoke(main, ["verify", "--recordings", str(recorded), "--base-url", native])
    assert played.exit_code == int(reproduced), played.output
    assert ("body.count (missing" in played.output) == reproduced
    assert ("not reproduced" in played.output) == (not reproduced)


def test_curl_command_sends_the_request(tmp_path: Path) -> None:
    command = curl(sample(authorization=f"Bearer {TOKEN}"))
    assert "Agnes" not in command
    with threaded(service({"count": 1}), "off") as legacy:
        environment = {**os.environ, "BASE_URL": legacy, "TOKEN": "t"}
        answer = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert '{"count":1}' in answer.stdout


def test_unanonymisable_request_has_no_recording() -> None:
    with pytest.raises(NotReproducible, match="cannot be anonymised"):
        scenario(replace(sample(), reproduction=None))


def conversation(template: str | None) -> Sample:
    one = sample(**{"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==", "authorization": f"Bearer {TOKEN}"})
    return replace(one, request=replace(one.request, template=template))


def test_conversation_has_no_recording() -> None:
    with pytest.raises(NotReproducible, match="only type and length are stored"):
        scenario(conversation("/records/{id}"))


def test_curl_command_of_a_conversation_is_its_handshake() -> None:
    about, command = curl(conversation("/records/{id}")).split("\n")
    assert "the handshake only" in about
    assert "only type and length are stored" in about
    assert "-H 'upgrade: websocket'" in command
    assert '-H "authorization: Bearer $TOKEN"' in command
    assert command.endswith('"$BASE_URL"/records/1')
    assert TOKEN not in about + command


def test_conversation_without_a_contract_has_no_handshake() -> None:
    with pytest.raises(NotReproducible):
        curl(conversation(None))
