"""The MongoDB that MONGODB_URL names in place of the demo's own one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from demo.mongod import url_on
from demo.ports import is_free
from proxy.database.database import hosts_of

_TIMEOUT_MS: Final = 10_000


class NoAnswerError(Exception):
    """No MongoDB answers at MONGODB_URL. The message is one line."""


def given_url(env: Mapping[str, str], own_port: int) -> str:
    """Return MONGODB_URL of `env`; empty if it is the demo's own one and that MongoDB does not run.

    The shell in which the demo's line was pasted has that URL, and may start the next demo.
    """
    url = env.get("MONGODB_URL", "")
    return "" if url == url_on(own_port) and is_free(own_port) else url


def require_answer(url: str) -> None:
    """Raise NoAnswerError if the MongoDB of MONGODB_URL does not answer."""
    try:
        with MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=_TIMEOUT_MS) as client:
            client.admin.command("ping")
    except (PyMongoError, ValueError) as error:
        raise NoAnswerError(
            f"MONGODB_URL names {hosts_of(url)}, where no MongoDB answers ({type(error).__name__}): start it, or unset "
            "MONGODB_URL, and the demo starts its own"
        ) from None
