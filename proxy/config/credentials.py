"""Mask the user names and passwords of URLs in messages. Pure."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "•••"
CREDENTIALS: Final = re.compile(r"://\S*@")


def mask_credentials(text: str) -> str:
    """Mask the user name and the password of a URL in a text."""
    return CREDENTIALS.sub(f"://{MASK}@", text)
