"""The pictures in docs/ are those that `make pictures` takes, and a page shows each of them."""

from __future__ import annotations

import re

from tests.browser.pictures import DOCS, PICTURES


def test_pictures_of_the_docs_are_taken_by_the_command() -> None:
    assert sorted(file.name for file in DOCS.glob("*.webp")) == sorted(PICTURES)
    shown = re.findall(r"!\[[^]]+\]\(([\w-]+\.webp)\)", (DOCS / "ops-pages.md").read_text())
    assert sorted(shown) == sorted(PICTURES)
