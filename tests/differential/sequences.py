"""Strategies for whole sequences: the documents both databases begin with, and the requests."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from tests.differential.actions import Action
from tests.differential.documents import Documents, databases
from tests.differential.requests import actions, registrations


class Sequence(NamedTuple):
    """What is put to both sides."""

    before: Documents
    actions: list[Action]


_actions = st.one_of(*[actions()] * 19, registrations())
sequences = st.builds(Sequence, databases(), st.lists(_actions, min_size=1, max_size=12))
