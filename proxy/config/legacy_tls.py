"""The section `legacy.tls`: TLS from the gateway to legacy. Its files are read when the section is validated."""

import re
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import ValidationInfo, field_validator, model_validator

from proxy.config.field_types import Text
from proxy.config.parsed_by import ParsedBy
from proxy.config.section import Section
from proxy.wording import did_you_mean

_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)


def read_server_name(value: object) -> str:
    """Return a host name. Raises ValueError."""
    if isinstance(value, str) and _HOST_NAME.fullmatch(value):
        return value
    raise ValueError("must be a host name, as in legacy.example")


def read_file(path: str) -> bytes:
    """Return a file's bytes. Raises ValueError, which suggests a file with a similar name."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}{_nearest(Path(path))}") from None


def _nearest(path: Path) -> str:
    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:
        return ""
    return did_you_mean(path.name, names, lambda name: str(path.with_name(name)))


class LegacyTls(Section):
    """Trusted authorities instead of the system's, the server name to verify, and the gateway's client certificate.

    Paths are of PEM files, relative to the working directory. `client_cert` contains the certificate with its chain,
    and without `client_key` also the private key.
    """

    ca: Text | None = None
    server_name: Annotated[str, ParsedBy(read_server_name)] | None = None
    client_key: Text | None = None
    client_cert: Text | None = None

    @field_validator("ca")
    @classmethod
    def _ca_is_readable(cls, path: str | None) -> str | None:
        if path is not None:
            read_file(path)
            import ssl  # a slow import, only for files with this section

            try:
                ssl.create_default_context(cafile=path)
            except ssl.SSLError:
                raise ValueError("holds no PEM certificate") from None
        return path

    @field_validator("client_key")
    @classmethod
    def _key_is_readable(cls, path: str | None) -> str | None:
        if path is not None:
            read_file(path)
        return path

    @field_validator("client_cert")
    @classmethod
    def _certificate_has_its_key(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None:
            read_file(path)
            import ssl

            try:
                ssl.create_default_context().load_cert_chain(path, info.data.get("client_key"), password="")
            except ssl.SSLError:
                raise ValueError(
                    "must hold a PEM certificate, and its unencrypted key unless client_key does"
                ) from None
        return path

    @model_validator(mode="after")
    def _no_key_alone(self) -> Self:
        if self.client_key is not None and "client_cert" not in self.model_fields_set:
            raise ValueError("client_key needs client_cert beside it")
        return self
