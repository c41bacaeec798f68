"""The modes of redaction: the names and values that each one shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.config.service_models import ReportSettings
from proxy.reports.code_names import collect_names
from proxy.reports.plain_headers import is_plain
from proxy.reports.redaction import Mode, Redactor
from tests.support.exchanges import answered, exchange
from tests.support.redacted_contract import CONTRACT, KEY, PATIENT

TOKEN = "Bearer a-secret-token"
CREDENTIAL_HEADERS = (
    "authorization",
    "cookie",
    "proxy-authorization",
    "sec-websocket-protocol",
    "set-cookie",
)


def redacted(mode: Mode, answer: Exchange, names: frozenset[str] = frozenset()) -> str:
    redactor = Redactor(KEY, CONTRACT, mode=mode, names=names)
    verdict = redactor.verdict(compare(answered({}), answer, CONTRACT), answered({}), answer)
    return json.dumps([verdict, redactor.answer(answer), redactor.request(answer)], ensure_ascii=False)


@pytest.mark.parametrize(
    ("mode", "name", "value"), [("full", False, False), ("values", True, False), ("off", True, True)]
)
def test_mode_decides_on_names_and_values(mode: Mode, name: bool, value: bool) -> None:
    text = redacted(mode, answered({"surprise": PATIENT}))
    assert ('"surprise"' in text, PATIENT in text) == (name, value)


@pytest.mark.parametrize("mode", ["full", "values", "off"])
def test_credentials_are_redacted_in_every_mode(mode: Mode) -> None:
    sent = ((b"authorization", TOKEN.encode()), (b"cookie", b"session=a-secret-token"))
    answer = answered({}, headers=[("set-cookie", "session=a-secret-token")])
    answer = answer._replace(request_headers=sent)
    assert "a-secret-token" not in redacted(mode, answer)


SECRET = "a-secret-text"
HASH = "$2b$12$" + "Az09./" * 8 + "abcde"
LOGIN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySUQiOiI2NTBmIn0.c2lnbmF0dXJlLW9m"
AROUND = ("{}", "Bearer {}", "/notes?token={}&page=2", "<{}>", "first {} last")
PARTS: dict[str, Callable[[str], Exchange]] = {
    "value": lambda text: answered({"token": text}),
    "item": lambda text: answered({"tokens": [1, [{"of": text}]]}),
    "name": lambda text: answered({text: 1}),
    "text": lambda text: exchange(text.encode(), "text/plain"),
    "header": lambda text: answered({}, headers=[("x-login", text)]),
    "sent header": lambda text: answered({}, sent_headers=((b"x-login", text.encode()),)),
    "query": lambda text: answered({}, target=f"/api/notes?{text}"),
    "path": lambda text: answered({}, target=f"/api/{text}"),
    "sent body": lambda text: answered(
        {}, sent=json.dumps({"password": text}).encode(), sent_headers=((b"content-type", b"application/json"),)
    ),
}


@given(
    st.sampled_from(["full", "values", "off"]),
    st.sampled_from(sorted(PARTS)),
    st.sampled_from([LOGIN, HASH]),
    st.sampled_from(AROUND),
)
def test_tokens_and_password_hashes_are_redacted_anywhere(mode: Mode, part: str, secret: str, around: str) -> None:
    answer = PARTS[part](around.format(secret))
    redactor = Redactor(KEY, CONTRACT, mode=mode)
    writes = redactor.writes([{"collection": "users", "operation": "insert", "document": {"login": [secret]}}])
    text = redacted(mode, answer) + json.dumps(writes)
    assert secret.rpartition(".")[0] not in text


@given(st.sampled_from(["full", "values", "off"]), st.sampled_from(CREDENTIAL_HEADERS))
def test_headers_of_credentials_are_redacted_in_every_mode(mode: Mode, name: str) -> None:
    sent = answered({}, sent_headers=((name.encode(), SECRET.encode()),), headers=[(name, SECRET)])
    assert SECRET not in redacted(mode, sent)


def test_names_of_contract_and_code_are_always_shown() -> None:
    # The contract has `body` in notes, and native's code has `titel`; here both are in other places.
    answer = answered({"body": 1, "titel": 2, PATIENT: 3}, status=404)
    text = redacted("full", answer, frozenset({"titel"}))
    assert '"body"' in text
    assert '"titel"' in text
    assert PATIENT not in text
    assert '"titel"' not in redacted("full", answer)


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("content-type", "application/json; charset=utf-8", True),
        ("content-type", "text/html", True),
        ("content-type", "application/agnes", False),
        ("content-type", "multipart/form-data; boundary=agnes", False),
        ("x-powered-by", "Express", True),
        ("server", "uvicorn", True),
        ("server", "agnes", False),
        ("server", "19430521", False),
        ("content-length", "1204", True),
        ("cache-control", "public, max-age=0", True),
        ("vary", "Origin, Accept-Encoding", True),
        ("etag", 'W/"2-abc"', False),
        ("location", "/a", False),
        ("set-cookie", "true", False),
    ],
)
def test_framework_headers_are_shown(name: str, value: str, plain: bool) -> None:
    assert is_plain(name, value, CONTRACT) == plain
    answer = answered({})._replace(headers=((name.encode(), value.encode()),))
    assert (f'"value": {json.dumps(value)}' in redacted("full", answer)) == plain


@given(st.text(st.characters(categories=["Lo", "Lu"]), min_size=4), st.sampled_from(["server", "vary", "allow"]))
def test_unknown_header_words_are_redacted(value: str, name: str) -> None:
    assert not is_plain(name, f"Express {value}ž", CONTRACT)


def test_names_are_collected_from_the_code_of_an_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "clinic_of_names"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "app.py").write_text('class Note:\n    written: str\n\ndef f(): return {"titel": 1, "a text": "x y"}\n')
    (package / "broken.py").write_text("def (")
    monkeypatch.syspath_prepend(str(tmp_path))
    names = collect_names("clinic_of_names.app:app")
    assert {"titel", "written"} <= names
    assert not names & {"a text", "x y", "f", "Note"}
    assert collect_names("no_such_package.app:app") == frozenset()


def test_unredacted_reports_require_staging() -> None:
    with pytest.raises(ValidationError, match="staging: true"):
        ReportSettings.model_validate({"redact": "off"})
    assert ReportSettings.model_validate({"redact": "off", "staging": True}).redact == "off"
    assert ReportSettings.model_validate({}).redact == "full"
