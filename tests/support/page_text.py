"""The text of ops pages."""

from __future__ import annotations

import re
from html import unescape


def text_of(page: str) -> str:
    """Return a page's text without markup."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())
