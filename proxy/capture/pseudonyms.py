"""Replace values by others of the same kind: ids by ids, tokens by tokens, dates by dates. Pure.

Within one capture the same id, token or hash always has the same pseudonym, and all dates move by the same interval, so
that the steps of a recording stay consistent. Other texts are replaced by numbered ones.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import re
from datetime import datetime, timedelta
from typing import Final

from proxy.comparison.volatile import match_volatile

_ID_TIME: Final = 8  # hex digits of an ObjectId with its time in seconds
_HASH: Final = re.compile(r"\$2[aby]\$\d\d\$")
_BCRYPT: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_DATE: Final = re.compile(r"[^.+Z-]+-\d\d-[^.+Z-]+(?:\.(?P<fraction>\d+))?(?P<zone>.+)", re.ASCII)
_NO_DATE: Final = "2000-01-01T00:00:00.000Z"


class Pseudonyms:
    """The pseudonyms of one capture. Each capture has its own secret `key` and its own `shift` in ms."""

    def __init__(self, key: bytes, shift: int) -> None:
        self._key, self._shift = key, shift
        self._numbers = itertools.count(1)

    def text(self, text: str) -> str:
        """Return the pseudonym of a text: of the same kind for an id, a date, a token or a hash."""
        volatile = match_volatile(text)
        if volatile is None:
            return self.words() if text else ""
        return {
            "id": self._id,
            "date": self._date,
            "token": self._token,
            "hash": self._hash,
            "stamp": self._stamp,
            "epoch": self._epoch,
        }[volatile.kind](text)

    def words(self) -> str:
        """Return a new numbered text, so that inference treats it neither as a constant nor as an enum."""
        return f"text {next(self._numbers)}"

    def entity_tag(self, tag: str) -> str:
        """Return an entity tag, weak if the given one is."""
        return f'{"W/" if tag.startswith("W/") else ""}"{self._digest(tag)[:16]}"'

    def _id(self, text: str) -> str:
        made = int(text[:_ID_TIME], 16) + self._shift // 1000
        return f"{made % 2**32:08x}{self._digest(text)[: len(text) - _ID_TIME]}"

    def _date(self, text: str) -> str:
        parts = _DATE.fullmatch(text)
        try:
            at = datetime.fromisoformat(text) + timedelta(milliseconds=self._shift)
        except (ValueError, OverflowError):
            return _NO_DATE
        fraction, zone = (parts["fraction"], parts["zone"]) if parts else (None, "Z")
        fraction_text = f".{at.microsecond:06d}"[: 1 + len(fraction)] if fraction else ""
        return f"{at:%Y-%m-%dT%H:%M:%S}{fraction_text}{zone}"

    def _token(self, text: str) -> str:
        digest = self._digest(text)
        claims: dict[str, str | int] = {"sub": digest[:24], "iat": 1}
        return ".".join([_encoded({"alg": "HS256", "typ": "JWT"}), _encoded(claims), digest])

    def _hash(self, text: str) -> str:
        prefix = _HASH.match(text)
        letters = bytes.fromhex(self._digest(text)) * 2
        letters_text = "".join(_BCRYPT[byte % len(_BCRYPT)] for byte in letters)
        return (prefix[0] if prefix else "") + letters_text[:53]

    def _stamp(self, text: str) -> str:
        at, _, rest = text.partition("-")
        return f"{self._epoch(at)}-{self._digest(text)[: len(rest)]}"

    def _epoch(self, text: str) -> str:
        return str(10**12 + (int(text) + self._shift) % 10**12)

    def _digest(self, text: str) -> str:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hex()


def _encoded(part: dict[str, str | int]) -> str:
    text = json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()
