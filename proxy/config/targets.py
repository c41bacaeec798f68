"""Targets: callers that native always answers (`include`) or never answers (`exclude`), by properties of the request.

A target has a source, as in `bucketing.key`, and values: in routing.yaml, or in a file next to it with one value per
line (`#` begins a comment).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationInfo

from proxy.config.key_sources import KeySource, read_key_source
from proxy.config.parsed_by import ParsedBy
from proxy.config.section import HashableDict
from proxy.gateway.client_address import Network, read_network

ListReader = Callable[[str], str]
"""Returns the text of a file next to routing.yaml. Raises OSError or ValueError."""
MAX_VALUES: Final = 100_000
_MAX_LENGTH: Final = 256
_FILES: Final = re.compile(r"""\bfile["']?\s*:\s*["']?([^\s"',{}\[\]#]+)""")
_FORM: Final = "must be a value, a list of values, or {file: NAME}"


def _in_order(values: frozenset[str]) -> list[str]:
    return sorted(values)  # `sorted` itself has no signature that pydantic can read without a tokenizer


@dataclass(frozen=True)
class TargetValues:
    """The values of one target; `file` is the file that lists them, empty for routing.yaml itself."""

    values: Annotated[frozenset[str], PlainSerializer(_in_order)]  # in one order in all processes, as digests need it
    file: str = ""

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """The values as IP networks."""
        return tuple(read_network(value) for value in self.values)


class Targets(HashableDict[KeySource, TargetValues]):
    """Target values by source."""


def read_values(value: object, info: ValidationInfo) -> TargetValues:
    """Read a target's values: one value, a list, or the values of a file. Raises ValueError."""
    if isinstance(value, TargetValues):
        return value
    file = ""
    if isinstance(value, dict) and set(value) == {"file"} and isinstance(value["file"], str):
        file = value["file"]
        value = _listed(file, (info.context or {}).get("lists"))
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items:
        raise ValueError(f"{file} holds no value" if file else _FORM)
    return TargetValues(frozenset(_item(item) for item in items), file)


def _listed(name: str, reader: ListReader | None) -> list[str]:
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"{name} must be a file beside routing.yaml, or below its directory")
    try:
        if reader is None:
            raise FileNotFoundError(2, "there is no directory to read it from")
        text = reader(name)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    except KeyError:
        raise ValueError(f"{name} cannot be read") from None
    values = [line.partition("#")[0].strip() for line in text.splitlines()]
    listed = [value for value in values if value]
    if len(listed) > MAX_VALUES:
        raise ValueError(f"{name} holds more than {MAX_VALUES:,} values")
    return listed


def _item(item: object) -> str:
    text = item.strip() if isinstance(item, str) else ""
    if not text or len(text) > _MAX_LENGTH or not text.isprintable():
        raise ValueError(f"a value must be printable text of 1 to {_MAX_LENGTH} characters")
    return text


def _with_networks(targets: dict[KeySource, TargetValues]) -> Targets:
    """Validate the addresses of a `client-ip` target. Raises ValueError."""
    addresses = targets.get(KeySource("client-ip"))
    for value in addresses.values if addresses is not None else ():
        try:
            read_network(value)
        except ValueError:
            raise ValueError(f"client-ip: {value!r} is neither an address nor a network as in 10.0.0.0/8") from None
    return Targets(targets)


TargetMap = Annotated[
    dict[
        Annotated[KeySource, ParsedBy(read_key_source)],
        Annotated[TargetValues, BeforeValidator(read_values)],
    ],
    AfterValidator(_with_networks),
]


def list_files(text: str) -> tuple[str, ...]:
    """Return the names of the value lists that a routing.yaml may refer to, even if it is otherwise invalid."""
    return tuple(sorted(set(_FILES.findall(text))))


def contradiction(include: Mapping[KeySource, TargetValues], exclude: Mapping[KeySource, TargetValues]) -> str | None:
    """Return the reason why an include has no effect (the same callers are excluded); None if all have an effect."""
    for source, included in include.items():
        excluded = exclude.get(source)
        if excluded is None:
            continue
        if source.kind == "client-ip":
            pairs = ((inner, outer) for inner in included.networks for outer in excluded.networks)
            overlap: Any = next(((inner, outer) for inner, outer in pairs if _is_within(inner, outer)), None)
            if overlap is not None:
                return f"client-ip {_shown(overlap[0])} is included, and {_shown(overlap[1])} is excluded"
        elif both := included.values & excluded.values:
            return f"{source} {min(both)} is included and excluded"
    return None


def _is_within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def _shown(network: Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)
