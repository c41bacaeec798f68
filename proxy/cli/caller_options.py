"""Options of `scribe-proxy explain` that describe the caller."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import click

from proxy.cli.option_group import option_group
from proxy.config.key_sources import KeySource
from proxy.gateway.bucketing import Client
from proxy.gateway.targeting import has_value
from proxy.gateway.tokens import Claims, ClaimsReader
from proxy.types import HeaderFields


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of an explained request. `key` replaces the key from address and headers.

    `tokens` reads the claims of `headers`, in place of the verifier of routing.yaml.
    """

    headers: HeaderFields = ()
    client: Client = None
    key: str | None = None
    tokens: ClaimsReader | None = None

    def has_value(self, source: KeySource, tokens: ClaimsReader | None) -> bool:
        """Return True if the caller has a value that a target of this source could match."""
        return has_value(source, self.headers, self.client, tokens)


class ClaimedToken:
    """A token whose claims are trusted without a signature."""

    def __init__(self, claims: Mapping[str, str]) -> None:
        self._claims: Final = claims

    def claims(self, headers: HeaderFields) -> Claims:
        """Return the claims; the headers are ignored."""
        return self._claims

    @property
    def header(self) -> tuple[bytes, bytes]:
        """The header of the token, from which keys are read."""
        payload = base64.urlsafe_b64encode(json.dumps(self._claims).encode())
        return b"authorization", b"Bearer e30." + payload + b"."


def _caller(
    key: str | None,
    claims: tuple[tuple[str, str], ...],
    headers: tuple[tuple[bytes, bytes], ...],
    client_ip: str | None,
) -> Caller:
    client = (client_ip, 0) if client_ip else None
    if not claims:
        return Caller(headers, client, key)
    if any(name == b"authorization" for name, _ in headers):
        raise click.UsageError("give --claim or --header 'Authorization: …', not both")
    token = ClaimedToken(dict(claims))
    return Caller((token.header, *headers), client, key, token)


caller_options = option_group(
    "caller",
    _caller,
    click.option("--key", metavar="K", help="The caller's key, in place of one read from headers."),
    click.option(
        *("--claim", "claims"),
        multiple=True,
        metavar="NAME=VALUE",
        callback=lambda _context, _parameter, texts: tuple(map(_claim, texts)),
        help="A verified claim of the caller's token; may be repeated.",
    ),
    click.option(
        *("--header", "headers"),
        multiple=True,
        metavar="'NAME: VALUE'",
        callback=lambda _context, _parameter, texts: tuple(map(_header, texts)),
        help="A request header; may be repeated.",
    ),
    click.option("--client-ip", metavar="ADDRESS", help="The caller's address."),
)


def _claim(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.BadParameter(f"{text!r} is not `NAME=VALUE`")
    return name.strip(), value


def _header(text: str) -> tuple[bytes, bytes]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{text!r} is not `NAME: VALUE`", param_hint="--header")
    return argument_bytes(name.strip().lower()), argument_bytes(value.strip())


def argument_bytes(argument: str) -> bytes:
    """Return an argument's bytes exactly as the shell passed them."""
    return argument.encode("utf-8", "surrogateescape")
