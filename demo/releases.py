"""The native app in two releases: a good one, and a bad one while a file exists.

The bad release fails every other list of prompts. The environment variable SCRIBE_DEMO_BAD_RELEASE names the file.
Only `scribe-proxy demo --scenario bad-release` uses this app (`native: demo.releases:app`).
"""

import itertools
import os
from pathlib import Path

from starlette.types import Receive, Scope, Send

from handlers.app import app as good

VARIABLE = "SCRIBE_DEMO_BAD_RELEASE"
_numbers = itertools.count()


class BadReleaseError(Exception):
    """The failure of the bad release."""


def _is_bad() -> bool:
    return Path(os.environ[VARIABLE]).exists()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request by the deployed release."""
    listing = scope["type"] == "http" and scope["path"] == "/api/prompts" and scope["method"] == "GET"
    if listing and next(_numbers) % 2 and _is_bad():
        raise BadReleaseError
    await good(scope, receive, send)
