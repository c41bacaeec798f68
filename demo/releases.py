"""The native app in two releases: the sound one, and a bad one for as long as a file exists.

The bad one fails every other list of prompts. A gateway loads it by `native: demo.releases:app`; the file is named by
the environment variable SCRIBE_DEMO_BAD_RELEASE. For `scribe-proxy demo --scenario bad-release` alone.
"""

import itertools
import os
from pathlib import Path

from starlette.types import Receive, Scope, Send

from handlers.app import app as sound

VARIABLE = "SCRIBE_DEMO_BAD_RELEASE"
_numbers = itertools.count()


class BadReleaseError(Exception):
    """What the bad release raises."""


def _is_bad() -> bool:
    return Path(os.environ[VARIABLE]).exists()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Whichever release is out."""
    listing = scope["type"] == "http" and scope["path"] == "/api/prompts" and scope["method"] == "GET"
    if listing and next(_numbers) % 2 and _is_bad():
        raise BadReleaseError
    await sound(scope, receive, send)
