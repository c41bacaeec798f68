"""Strategies for whole sequences: the documents both databases begin with, and the requests."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from tests.differential.actions import Action
from tests.differential.documents import Documents, databases
from tests.differential.requests import actions, registrations
from tests.differential.values import mostly


class Sequence(NamedTuple):
    """What is put to both sides."""

    before: Documents
    actions: list[Action]


@st.composite
def sequences(draw: st.DrawFn) -> Sequence:
    """Sound requests to documents of any age, or any requests to sound documents."""
    ages, changes = draw(st.sampled_from([(0, 3), (3, 0), (1, 1)]))
    asked = mostly(actions(changes), mostly(actions(changes), registrations()))
    return Sequence(draw(databases(ages)), draw(st.lists(asked, min_size=1, max_size=12)))
