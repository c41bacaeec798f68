"""The plug-in of `scribe-proxy fuzz` for Scribe: people and their tokens, odd documents, requests for them.

scribe-proxy fuzz … --plugin tests.differential.plugin
"""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from tests.differential.conversations import recordings
from tests.differential.documents import databases
from tests.differential.linked import linked_documents
from tests.differential.people import OTHER_TOKEN, TOKEN
from tests.differential.requests import actions
from tests.differential.sequences import sequences
from tests.differential.tokens import AUTHORISATIONS
from tests.differential.values import mostly

HEADERS: Final = mostly(
    st.sampled_from([TOKEN, TOKEN, TOKEN, OTHER_TOKEN]).map(lambda token: f"Bearer {token}"), AUTHORISATIONS
).map(lambda value: (("authorization", value),))
"""Mostly a clinician's token, now and then a wrong one."""

REQUESTS: Final = actions(1)
DOCUMENTS: Final = mostly(linked_documents(), st.integers(0, 3).flatmap(databases))
SEQUENCES: Final = sequences()
CONVERSATIONS: Final = recordings()
