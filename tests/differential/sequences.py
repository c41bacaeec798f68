"""Strategies for whole sequences: the documents both databases begin with, and the requests."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from tests.differential.actions import Action
from tests.differential.census import censuses
from tests.differential.documents import Documents, databases
from tests.differential.journeys import journeys
from tests.differential.linked import linked_documents, valid_documents
from tests.differential.probes import probes
from tests.differential.requests import actions, registrations
from tests.differential.values import Strategy, mostly


class Sequence(NamedTuple):
    """The actions that both backends get, and the documents before them."""

    before: Documents
    actions: list[Action]


@st.composite
def _scattered(draw: st.DrawFn) -> Sequence:
    """Draw valid requests to documents of any age, or any requests to valid documents."""
    ages, changes = draw(st.sampled_from([(0, 3), (3, 0), (1, 1)]))
    requests = mostly(actions(changes), mostly(actions(changes), registrations()))
    before = linked_documents() if changes else databases(ages)
    return Sequence(draw(before), draw(st.lists(requests, min_size=1, max_size=12)))


@st.composite
def _visits(draw: st.DrawFn) -> Sequence:
    """Draw one or two journeys through linked documents."""
    before = draw(linked_documents())
    return Sequence(before, [step for _ in range(draw(st.integers(1, 2))) for step in draw(journeys())])


@st.composite
def _probing(draw: st.DrawFn) -> Sequence:
    """Draw probes of documents in any valid state, which later probes find as earlier ones have left them."""
    return Sequence(draw(valid_documents()), draw(st.lists(probes(), min_size=8, max_size=20)))


def _counted() -> Strategy[Sequence]:
    return censuses().map(lambda drawn: Sequence(*drawn))


def sequences() -> Strategy[Sequence]:
    """Return a strategy for the census in half of the cases, else for probes, journeys and other requests."""
    drawn = mostly(_probing(), mostly(_visits(), _scattered()), share=2)
    return st.booleans().flatmap(lambda counted: _counted() if counted else drawn)
