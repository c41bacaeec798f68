"""Field types of routing.yaml: every scalar in the file is text, which its key's type parses.

YAML's type guesses (`no` is false, `1:30` is ninety, dates) are not used. Each function also accepts a value of its
result type, so that models can be built in Python. All raise ValueError.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from proxy.config.parsed_by import ParsedBy
from proxy.config.quantities import FULL as FULL
from proxy.config.quantities import ZERO as ZERO
from proxy.config.quantities import show_duration as show_duration
from proxy.config.quantities import show_share as show_share
from proxy.gateway.client_address import UNIX, read_network
from proxy.gateway.patterns import Pattern
from proxy.types import BasisPoints
from proxy.wording import did_you_mean

_YEAR: Final = 365 * 86_400.0
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(ms|s|m|h|d)", re.ASCII)
_SPELLED: Final = re.compile(r"(\d{1,9}) ?([A-Za-z]+)", re.ASCII)
_UNIT_WORDS: Final = {
    "ms": ("msec", "msecs", "millis", "millisecond", "milliseconds"),
    "s": ("sec", "secs", "second", "seconds"),
    "m": ("min", "mins", "minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "d": ("day", "days"),
}
_PERCENTAGE: Final = re.compile(r"(\d{1,3})(?:\.(\d{1,2}))? ?%", re.ASCII)
_RATIO: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?x", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,9}(?:_?\d{1,9})*", re.ASCII)
_SIZE: Final = re.compile(r"(\d{1,9}) ?(B|KiB|MiB)", re.ASCII)
_BYTES: Final = {"B": 1, "KiB": 1024, "MiB": 1 << 20}
_LARGEST: Final = 16 << 20
_PATH: Final = re.compile(r"/[!$%&'()*+,\-./0-9:;=@A-Z_a-z~]*")
_SECRET: Final = re.compile(r"[!-:<-~]{16,128}")  # visible ASCII without `;`, because it is part of a header
_HOST_AND_PORT: Final = re.compile(r"[A-Za-z0-9_.-]+:[0-9]{1,5}")
_HOST_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_SWITCHES: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def read_share(value: object) -> BasisPoints:
    """Parse `25%` or `0.01%` into basis points. `0` is the only number accepted without a unit."""
    if type(value) is int:
        return BasisPoints(_within(value, 0, FULL, "a percentage is between 0% and 100%"))
    text = _text(value, "a percentage")
    if text == "0":
        return ZERO
    match = _PERCENTAGE.fullmatch(text)
    if match is None:
        hint = _with_unit(text, "%")
        raise ValueError(f"must be a percentage in steps of 0.01%, as in 25% or 0.5%{hint}")
    share = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    return BasisPoints(_within(share, 0, FULL, "a percentage is between 0% and 100%"))


def read_positive_share(value: object) -> BasisPoints:
    """Parse a share above 0%."""
    return BasisPoints(_within(read_share(value), 1, FULL, "must be above 0%"))


def read_duration(value: object) -> float:
    """Parse `250ms`, `2s`, `5m`, `12h` or `7d` into seconds; above zero and at most a year."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = _text(value, "a duration")
        match = _DURATION.fullmatch(text)
        if match is None:
            hint = _with_unit(text, "s") or _in_known_unit(text)
            raise ValueError(f"must be a duration with its unit, as in 250ms, 2s, 5m, 12h or 7d{hint}")
        seconds = float(match[1]) * _SECONDS[match[2]]
    if not 0 < seconds <= _YEAR:
        raise ValueError("a duration must be above zero and at most 365d")
    return seconds


def read_ratio(value: object) -> float:
    """Parse a ratio such as `2x` or `1.5x`, above 1x."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        ratio = float(value)
    else:
        text = _text(value, "a ratio")
        match = _RATIO.fullmatch(text)
        if match is None:
            hint = _with_unit(text, "x")
            raise ValueError(f"must be a ratio, as in 2x or 1.5x{hint}")
        ratio = float(match[1])
    if not 1 < ratio <= 1000:
        raise ValueError("a ratio must be above 1x and at most 1000x")
    return ratio


def read_count(value: object) -> int:
    """Parse a whole number, 1 or more."""
    if type(value) is int:
        number = value
    else:
        text = _text(value, "a whole number")
        if not _WHOLE.fullmatch(text):
            raise ValueError("must be a whole number")
        number = int(text)
    return _within(number, 1, 10**9, "must be between 1 and 1000000000")


def read_switch(value: object) -> bool:
    """Parse `true` or `false` (also `yes`, `no`, `on` and `off`)."""
    if isinstance(value, bool):
        return value
    switch = _SWITCHES.get(_text(value, "true or false").lower())
    if switch is None:
        raise ValueError("must be true or false")
    return switch


def read_text(value: object) -> str:
    """Validate printable text on one line, of 1 to 256 characters."""
    text = _text(value, "text")
    if not text or len(text) > 256 or not text.isprintable():
        raise ValueError("must be printable text on one line, of 1 to 256 characters")
    return text


def read_url(value: object) -> str:
    """Parse `http://host:port`: scheme and authority only, because requests are forwarded with their own path."""
    text = _text(value, "a URL").removesuffix("/")
    try:
        url = urlsplit(text)
        is_valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        raise ValueError("must be a URL, as in http://127.0.0.1:4500") from None
    if not is_valid or not text.isascii() or not text.isprintable() or " " in text:
        meant = f"; did you mean http://{text}?" if _HOST_AND_PORT.fullmatch(text) else ""
        raise ValueError(f"must be an http or https URL, as in http://127.0.0.1:4500{meant}")
    _refuse_beyond_authority(url)
    return text


def read_legacy_url(value: object) -> str:
    """Return `http://host:port`, optionally with a base path, or `unix:/path`, without a trailing slash."""
    text = _text(value, "a URL")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not _PATH.fullmatch(path) or path.startswith("//") or path.endswith("/"):
            hint = "/" + path.strip("/")
            meant = f"; did you mean unix:{hint}?" if _PATH.fullmatch(hint) and hint != "/" else ""
            raise ValueError(f"must be a socket's absolute path, as in unix:/run/legacy.sock{meant}")
        return text
    try:
        url = urlsplit(text)
        path = url.path if url.scheme in ("http", "https") else ""
    except ValueError:
        path = ""
    if path and not _PATH.fullmatch(path):
        raise ValueError("must have a base path of plain ASCII, as in http://127.0.0.1:4500/base")
    base = path.rstrip("/")
    return read_url(text.removesuffix(path) if text.endswith(path) else text) + base


def read_endpoint(value: object) -> SecretStr:
    """Parse an http or https URL with any path. It is a secret, because it may contain credentials."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else _text(value, "a URL")
    try:
        url = urlsplit(text)
        is_valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be an http or https URL, as in https://hooks.example/scribe")
    return SecretStr(text)


def read_page_url(value: object) -> str:
    """Parse the http or https URL of pages, without a query. Empty text means none. Raises ValueError."""
    text = _text(value, "a URL")
    if not text:
        return text
    try:
        read_endpoint(text)
    except ValueError:
        raise ValueError("must be an http or https URL, as in https://ops.example") from None
    if "?" in text or "#" in text or "@" in text:
        raise ValueError("must be a URL without a login, a query and a fragment, as in https://ops.example")
    return text.rstrip("/")


def read_mongodb_url(value: object) -> SecretStr:
    """Parse `mongodb://…`, `mongodb+srv://…` or empty text. It is a secret, because it may contain credentials."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else _text(value, "a MongoDB URL")
    if text and not text.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must be a MongoDB URL, as in mongodb://127.0.0.1:27017")
    return SecretStr(text)


def read_path(value: object) -> str:
    """Validate a path such as `/docs`: ASCII, without a query."""
    text = _text(value, "a path")
    if not _PATH.fullmatch(text):
        raise ValueError("must be a path, as in /docs")
    return text


def read_secret(value: object) -> SecretStr:
    """Parse a secret of 16 to 128 characters that a header can carry, or empty text (off). Raises ValueError."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(text, str) and (not text or _SECRET.fullmatch(text)):
        return SecretStr(text)
    raise ValueError("must be 16 to 128 visible ASCII characters without `;`, or empty to switch it off")


def read_any_secret(value: object) -> SecretStr:
    """Parse a secret of any form, or empty text (off)."""
    return value if isinstance(value, SecretStr) else SecretStr(_text(value, "a secret"))


def read_size(value: object) -> int:
    """Parse `512B`, `256KiB` or `4MiB` into bytes; above zero, at most 16 MiB. Raises ValueError."""
    return _bytes_within(value, 1, _LARGEST, "a size must be above zero and at most 16MiB")


def read_memory(value: object) -> int:
    """Parse `512MiB` into bytes; from 1 MiB to 1 TiB. Raises ValueError."""
    return _bytes_within(value, 1 << 20, 1 << 40, "memory must be from 1MiB to 1048576MiB")


def _bytes_within(value: object, low: int, high: int, message: str) -> int:
    if type(value) is int:
        return _within(value, low, high, message)
    text = _text(value, "a size")
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"must be a size with its unit, as in 512B, 256KiB or 4MiB{_with_unit(text, 'KiB')}")
    return _within(int(match[1]) * _BYTES[match[2]], low, high, message)


def read_match(value: object) -> str:
    """Parse `GET /api/notes/{id}`; normalise spaces and the trailing slash."""
    return str(Pattern.parse(_text(value, "a method and a path")))


def read_origin(value: object) -> str:
    """Parse `https://host:port`, as browsers send it in `Origin`."""
    try:
        return read_url(value).lower()
    except ValueError:
        raise ValueError("must be an origin, as in https://app.example or http://localhost:3000") from None


def read_host_name(value: object) -> str:
    """Parse `ops.example`, a name without scheme and port, into lower case. Raises ValueError."""
    text = _text(value, "a host name").lower()
    if _HOST_NAME.fullmatch(text):
        return text
    close = _HOST_NAME.search(re.sub(r"^[a-z]+://", "", text))
    meant = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"must be a host name without scheme and port, as in ops.example{meant}")


def read_trusted_proxy(value: object) -> str:
    """Parse `10.0.0.7`, `10.0.0.0/8`, `2001:db8::/32` or `unix` into canonical text. Raises ValueError."""
    text = _text(value, "an address")
    if text == UNIX:
        return text
    try:
        return str(read_network(text))
    except ValueError:
        raise ValueError(f"must be an address, a network as in 10.0.0.0/8, or unix{_network_meant(text)}") from None


def _network_meant(text: str) -> str:
    """Return the suggestion for a network with host bits set, or for all addresses."""
    if text == "*":
        return "; did you mean 0.0.0.0/0 and ::/0?"
    try:
        return f"; did you mean {ip_network(text, strict=False)}?"
    except ValueError:
        return did_you_mean(text.lower(), (UNIX,))


def split_list(value: object) -> object:
    """Return the items of comma-separated text, which replaces a list in environment variables."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _text(value: object, wanted: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be {wanted}")
    return value.strip()


def _with_unit(text: str, unit: str) -> str:
    return f"; did you mean {text}{unit}?" if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) else ""


def _in_known_unit(text: str) -> str:
    """Return the suggestion for a duration in another unit, or in words: `1w`, `30 minutes`."""
    match = _SPELLED.fullmatch(text)
    if match is None:
        return ""
    word = match[2].lower()
    if word.startswith("w"):
        return f"; did you mean {int(match[1]) * 7}d?"
    unit = next((unit for unit, words in _UNIT_WORDS.items() if word in words), None)
    return f"; did you mean {match[1]}{unit}?" if unit else ""


def _within(number: int, low: int, high: int, message: str) -> int:
    if not low <= number <= high:
        raise ValueError(message)
    return number


def _refuse_beyond_authority(url: SplitResult) -> None:
    if url.username is not None or url.password is not None:
        raise ValueError("must not hold a user name or password")
    if url.path or url.query or url.fragment:
        raise ValueError("must end after the host and port: a request's own path is forwarded as it is")


Share = Annotated[BasisPoints, ParsedBy(read_share)]
PositiveShare = Annotated[BasisPoints, ParsedBy(read_positive_share)]
Duration = Annotated[float, ParsedBy(read_duration)]
Ratio = Annotated[float, ParsedBy(read_ratio)]
Count = Annotated[int, ParsedBy(read_count)]
Switch = Annotated[bool, ParsedBy(read_switch)]
Text = Annotated[str, ParsedBy(read_text)]
Path = Annotated[str, ParsedBy(read_path)]
Size = Annotated[int, ParsedBy(read_size)]
Memory = Annotated[int, ParsedBy(read_memory)]
Match = Annotated[str, ParsedBy(read_match)]
Origin = Annotated[str, ParsedBy(read_origin)]
HostName = Annotated[str, ParsedBy(read_host_name)]
TrustedProxy = Annotated[str, ParsedBy(read_trusted_proxy)]
