"""The native app's settings: the legacy's environment variables, and switches for known divergences.

Every `KEEP_LEGACY_…` switch is off by default; switched on, it restores the legacy's behaviour. If the legacy
hangs or dies there is nothing to restore.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from limits import RateLimitItem
from limits import parse as parse_limit
from pydantic import Field, PlainValidator, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from handlers.services.instructions import SHIPPED, Instructions, InstructionsError, read_instructions

FRONTENDS: Final = (
    "https://scribe-project-nextjs.vercel.app",
    "http://localhost:3000",
    "http://localhost:3001",
)
NHS: Final = "https://ontology.nhs.uk"
NHS_AUTH_URL: Final = f"{NHS}/authorisation/auth/realms/nhs-digital-terminology/protocol/openid-connect/token"
NHS_API_URL: Final = f"{NHS}/production1/fhir/"
BODY_LIMIT: Final = 10 * 1024 * 1024
AUDIO_LIMIT: Final = 25 * 1024 * 1024
MODEL_DEADLINE: Final = 60.0
CODES_DEADLINE: Final = 10.0


def _read_limit(value: object) -> RateLimitItem:
    try:
        return value if isinstance(value, RateLimitItem) else parse_limit(str(value))
    except ValueError:
        raise ValueError("must be a limit, as in 10/minute or 100 per 5 minutes") from None


Limit = Annotated[RateLimitItem, PlainValidator(_read_limit)]


def _read_instructions(value: object) -> Instructions:
    if isinstance(value, Instructions):
        return value
    try:
        return read_instructions(Path(str(value))) if value else SHIPPED
    except InstructionsError as error:
        raise ValueError(str(error)) from None


class SettingsError(Exception):
    """Invalid settings; the message is one line that names each of them."""


class Settings(BaseSettings):
    """The native app's settings; each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False)

    mongodb_url: str = Field(
        "mongodb://127.0.0.1:27017", min_length=1, description="URL of the MongoDB that both backends share"
    )
    database_name: str = Field("scribe", min_length=1, description="name of the database")
    mongodb_driver: Literal["motor", "pymongo"] = Field(
        "motor", description="driver: motor, or pymongo's own for asyncio"
    )
    jwt_secret_key: SecretStr = Field(description="the secret that both backends sign tokens with")
    access_token_expire_minutes: int = Field(60, gt=0, description="lifetime of a login, in minutes")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        FRONTENDS, description="the frontends' origins, separated by commas"
    )
    openai_api_key: SecretStr = Field(SecretStr(""), description="API key of the model")
    model_instructions: Annotated[Instructions, NoDecode, PlainValidator(_read_instructions)] = Field(
        SHIPPED, description="YAML file of the instructions for the model, if not the shipped ones"
    )
    openai_base_url: str | None = Field(None, description="base URL of the model, if not OpenAI's")
    nhs_client_id: str = Field("", description="client id at the terminology server")
    nhs_client_secret: SecretStr = Field(SecretStr(""), description="client secret at the terminology server")
    nhs_auth_url: str = Field(NHS_AUTH_URL, description="token URL of the terminology server")
    nhs_api_url: str = Field(
        NHS_API_URL, description="FHIR base URL of the terminology server, or its ValueSet/$expand"
    )
    body_limit: int = Field(BODY_LIMIT, gt=0, description="maximum bytes of a JSON body, decompressed")
    audio_limit: int = Field(AUDIO_LIMIT, gt=0, description="maximum bytes of audio per recording")
    model_deadline: float = Field(
        MODEL_DEADLINE, gt=0, description="seconds per answer of the model, the retry included"
    )
    codes_deadline: float = Field(CODES_DEADLINE, gt=0, description="seconds per search for codes")
    register_limit: Limit = Field(parse_limit("60/minute"), description="registrations per client, on v1")
    login_limit: Limit = Field(parse_limit("300/minute"), description="failed logins per client address")
    failed_login_limit: Limit = Field(
        parse_limit("10/minute"), description="failed logins per email address and client address"
    )
    rate_limits_shared: bool = Field(False, description="count the limits in MongoDB, across all processes")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="addresses and networks whose X-Forwarded-For identifies the client for v1's limits"
    )
    keep_legacy_tokens_after_logout: bool = Field(False, description="accept logged-out tokens until they expire")
    keep_legacy_email_operators: bool = Field(False, description="run an email that is a query operator as a query")
    keep_legacy_prompt_fields: bool = Field(False, description="let a prompt's change set any field of the schema")
    codes_as_list: bool = Field(False, description="return all matching codes, not only the first")

    @field_validator("jwt_secret_key")
    @classmethod
    def _refuse_no_secret(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value():
            raise ValueError("must not be empty")
        return secret

    @field_validator("nhs_auth_url", "nhs_api_url", mode="before")
    @classmethod
    def _default_where_empty(cls, value: object, info: ValidationInfo) -> object:
        return value or cls.model_fields[str(info.field_name)].default

    @field_validator("allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Return the settings from the environment; raises `SettingsError` naming everything missing or invalid."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            problems = "; ".join(map(_describe, error.errors(include_input=False, include_url=False)))
            raise SettingsError(f"settings of the native app: {problems}") from None


def _describe(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0]).upper() if problem["loc"] else "?"
    if problem["type"] == "missing":
        field = Settings.model_fields[name.lower()]
        return f"{name} is missing ({field.description})"
    reason = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {reason[:1].lower()}{reason[1:]}"
