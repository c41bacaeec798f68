"""The people and documents before a sequence begins: the same ids and tokens on both sides."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Final

from proxy.types import JSON

SECRET: Final = "dev-secret"
PASSWORD: Final = "correct horse"
HASH: Final = "$2b$08$0AFV1iXFTaMcKHdxZEW3Q.6igJ/udIIq/vp750CFeje1k6uG6qOxG"
"""bcrypt of PASSWORD."""
LONG_PASSWORD: Final = "long " * 14 + "pa"
"""As many bytes as bcrypt reads."""
LONG_HASH: Final = "$2b$04$TknmPoktqI8DoCrh8HbOyePDhIpnrfJklwzCOpc26uddD.nWO3s2C"
HASHES: Final = (
    *(LONG_HASH, HASH.replace("$2b$", "$2a$"), HASH.replace("$2b$", "$2y$"), HASH.replace("$08$", "$04$")),
    *(HASH[:-1], HASH + "x", HASH + "\0x", HASH[:28] + "." + HASH[29:], HASH[:29], "", PASSWORD),
)
"""Stored passwords: of LONG_PASSWORD, and those that bcrypt reads otherwise or not at all."""
PASSWORDS: Final = (
    *(LONG_PASSWORD, LONG_PASSWORD + "x", LONG_PASSWORD[:-1], PASSWORD + "\0", PASSWORD + "\0x", " " + PASSWORD),
    *("caf\xe9", "cafe\u0301", "\xe9" * 36, "\xe9" * 37, "\ud800", "\ufffd"),
)
"""Passwords of which some pairs are the same to bcrypt."""

ABSENT: Final = "64b7f0f0f0f0f0f0f0f0f0f0"
ISSUED: Final = 1_700_000_000
FOREVER: Final = 4_000_000_000


def identity(kind: int, index: int) -> str:
    """Return the id of the `index`th document of a kind, created in 2021; its letters make it differ in upper case."""
    return f"60{kind:02x}0000abcdef000000{index:04x}"


USERS, CONSULTATIONS, TRANSCRIPTS, NOTES, PROMPTS = range(1, 6)
AMARA, BOLA, CHIDI = (identity(USERS, index) for index in range(3))
"""Two clinicians and a patient."""


def sign(claims: JSON, secret: str = SECRET, algorithm: str = "HS256", header: JSON = None) -> str:
    """Sign a JWT with any header and claims."""
    return sign_bytes(json.dumps(claims, separators=(",", ":")).encode(), secret, algorithm, header)


def sign_bytes(payload: bytes, secret: str = SECRET, algorithm: str = "HS256", header: JSON = None) -> str:
    """Sign a JWT with any header and bytes."""
    head = header if header is not None else {"alg": algorithm, "typ": "JWT"}
    signed = f"{encode(json.dumps(head, separators=(',', ':')).encode())}.{encode(payload)}"
    digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(algorithm, hashlib.sha256)
    return f"{signed}.{encode(hmac.digest(secret.encode(), signed.encode(), digest))}"


def encode(data: bytes) -> str:
    """Encode in base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(user: JSON, **others: JSON) -> dict[str, JSON]:
    """Return the claims that a login signs, valid until 2096."""
    return {"userID": user, "author": "somebody", "iat": ISSUED, "exp": FOREVER, **others}


TOKEN: Final = sign(claims(AMARA))
OTHER_TOKEN: Final = sign(claims(BOLA))
