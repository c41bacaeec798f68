"""Find the target of a route that a request matches. Pure.

Claims are read from verified tokens only; anyone can send a header or a cookie.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from proxy.config.key_sources import KeySource
from proxy.config.route_models import NativeTraffic
from proxy.config.targets import TargetValues
from proxy.gateway.client_address import read_address
from proxy.gateway.cookies import cookie_value
from proxy.gateway.tokens import ClaimsReader
from proxy.types import HeaderFields

Client = tuple[str, int] | None


class TargetMatch(NamedTuple):
    """The deciding rule: its source, the matched value, and the file of the value, empty for routing.yaml."""

    rule: Literal["include", "exclude"]
    source: KeySource
    value: str
    file: str


def match_target(
    traffic: NativeTraffic, headers: HeaderFields, client: Client, tokens: ClaimsReader | None
) -> TargetMatch | None:
    """Return the first target that a request matches; `exclude` precedes `include`."""
    for source, target in traffic.exclude.items():
        value = _met(source, target, headers, client, tokens)
        if value is not None:
            return TargetMatch("exclude", source, value, target.file)
    for source, target in traffic.include.items():
        value = _met(source, target, headers, client, tokens)
        if value is not None:
            return TargetMatch("include", source, value, target.file)
    return None


def _met(
    source: KeySource, target: TargetValues, headers: HeaderFields, client: Client, tokens: ClaimsReader | None
) -> str | None:
    """Return the value of a target that a request has, or None."""
    if source.kind == "client-ip":
        return _address(target, client)
    if source.kind == "jwt":
        claims = tokens.claims(headers) if tokens is not None else None
        return _claimed(target, claims.get(source.name)) if claims is not None else None
    value = (_header if source.kind == "header" else _cookie)(source.name, headers)
    return value if value in target.values else None


def has_value(source: KeySource, headers: HeaderFields, client: Client, tokens: ClaimsReader | None) -> bool:
    """Return True if a request has a value that a target of this source could match."""
    if source.kind == "client-ip":
        return client is not None
    if source.kind == "jwt":
        claims = tokens.claims(headers) if tokens is not None else None
        return claims is not None and source.name in claims
    reader = _header if source.kind == "header" else _cookie
    return reader(source.name, headers) is not None


def _address(target: TargetValues, client: Client) -> str | None:
    address = read_address(client[0]) if client else None
    if address is None:
        return None
    if str(address) in target.values:
        return str(address)
    networks = target.networks
    return next((str(each) for each in networks if each.version == address.version and address in each), None)


def _claimed(target: TargetValues, claim: Any) -> str | None:
    """Return the value that matches a claim: text, a whole number, or any item of a list of these."""
    items = claim if isinstance(claim, list) else [claim]
    texts = (str(item) for item in items if isinstance(item, str) or type(item) is int)
    return next((text for text in texts if text in target.values), None)


def _header(name: str, headers: HeaderFields) -> str | None:
    wanted = name.encode()
    return next((value.strip().decode("latin-1") for given, value in headers if given == wanted), None)


def _cookie(name: str, headers: HeaderFields) -> str | None:
    return cookie_value(headers, name)
