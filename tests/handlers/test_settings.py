"""Settings come from the environment; each error is one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from handlers.settings import FRONTENDS, Settings, SettingsError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_settings_default_all_but_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", "s")
    settings = Settings.load()
    assert settings.mongodb_url == "mongodb://127.0.0.1:27017"
    assert settings.database_name == "scribe"
    assert settings.access_token_expire_minutes == 60
    assert settings.allowed_origins == FRONTENDS
    assert settings.body_limit == 10_485_760


def test_environment_example_has_every_variable_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    example = dict(re.findall(r"^([A-Z_]+)=(\S*)", (ROOT / ".env.example").read_text(), re.MULTILINE))
    names = {name.upper() for name in Settings.model_fields}
    names |= set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "routing.yaml").read_text()))
    assert names - set(example) == set()
    for name, value in example.items():
        monkeypatch.setenv(name, value)
    settings = dict(Settings.load())
    examples = {"jwt_secret_key", "mongodb_url", "openai_base_url"}
    assert {name: field.default for name, field in Settings.model_fields.items() if name not in examples} == {
        name: value for name, value in settings.items() if name not in examples
    }


def test_switches_for_the_legacy_are_off() -> None:
    settings = Settings.load(jwt_secret_key="s")
    assert not any(value for name, value in settings if name.startswith("keep_legacy") or name == "codes_as_list")


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {
        "JWT_SECRET_KEY": "s",
        "MONGODB_URL": "mongodb://elsewhere",
        "ALLOWED_ORIGINS": "http://a, http://b,",
        "ACCESS_TOKEN_EXPIRE_MINUTES": "5",
        "KEEP_LEGACY_TOKENS_AFTER_LOGOUT": "true",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.allowed_origins == ("http://a", "http://b")
    assert settings.access_token_expire_minutes == 5
    assert settings.mongodb_url == "mongodb://elsewhere"
    assert settings.keep_legacy_tokens_after_logout


def test_errors_of_settings_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_TOKEN_EXPIRE_MINUTES", "soon")
    monkeypatch.setenv("DATABASE_NAME", "")
    with pytest.raises(SettingsError) as refusal:
        Settings.load()
    message = str(refusal.value)
    assert "\n" not in message
    assert "JWT_SECRET_KEY is missing (the secret that both backends sign tokens with)" in message
    assert "ACCESS_TOKEN_EXPIRE_MINUTES: input should be a valid integer" in message
    assert "DATABASE_NAME: " in message


@pytest.mark.parametrize("name", ["nhs_auth_url", "nhs_api_url"])
def test_empty_terminology_url_is_the_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name.upper(), "")
    assert getattr(Settings.load(jwt_secret_key="s"), name).startswith("https://ontology.nhs.uk/")


def test_empty_secret_is_refused() -> None:
    with pytest.raises(SettingsError, match="JWT_SECRET_KEY: must not be empty"):
        Settings.load(jwt_secret_key="")


def test_secrets_are_not_shown() -> None:
    settings = Settings.load(jwt_secret_key="hush", openai_api_key="sk-hush", nhs_client_secret="hush")
    assert "hush" not in repr(settings)


def test_settings_are_immutable() -> None:
    settings = Settings.load(jwt_secret_key="s")
    with pytest.raises(ValidationError):
        settings.database_name = "other"
