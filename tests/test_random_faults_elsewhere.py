"""Random faults in coded and in large bodies, in WebSocket messages and in stored documents are named at their paths.

tests/test_random_faults.py has them in plain bodies, headers and statuses. The faults and answers are the same.
"""

from __future__ import annotations

import functools
import gzip
from collections.abc import Callable, Iterable
from typing import Final

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from proxy.comparison.conversation import Conversation, Ending, ServerMessage
from proxy.comparison.conversations import compare_conversations
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.comparison.modes import DRY_RUN, READ
from proxy.comparison.verdicts import Difference
from proxy.recordings.compare_side_effects import compare_documents
from proxy.types import ValuePath
from tests.support.exchanges import exchange
from tests.support.profile import examples
from tests.support.random_faults import FAULTS, applies, value_of, with_body
from tests.support.recorded_answers import LATER, exceeding, is_related, recorded

LONG_AFTER: Final = int(LATER + 86_400) * 1000
"""A time in ms at which no recorded id or date counts as made within a scenario."""
UNCHECKED: Final = (HealthCheck.too_slow, HealthCheck.filter_too_much)
OF_BODIES: Final = [name for name in FAULTS if name not in ("status", "broken off", "cookies") and "header" not in name]
OF_TEXTS: Final = frozenset(
    {
        *("flipped byte", "inserted bytes", "deleted byte", "truncated", "trailing bytes", "empty body"),
        *("byte order mark", "other encoding", "other layout", "other escape", "name twice", "body twice"),
    }
)
"""Faults of a body's bytes, which a stored document does not have."""
ANSWERS: Final = [each for each in recorded() if value_of(each) is not None and b"eyJ" not in each.body.data]
HANDSHAKE: Final = exchange(b"", "", status=101, target="/stream")._replace(started=LATER)
OTHER_FRAMES: Final = ('{"type":"connection","status":"ready"}', '{"type":"transcript","text":"Rest and fluids."}')


def in_coded_bodies(legacy: Exchange, native: Exchange) -> Iterable[Difference]:
    """Compare reads whose backends compress at different levels, the same as dry runs."""
    one, other = (_coded(each, level) for each, level in ((legacy, 1), (native, 9)))
    reads, writes = (compare(one, other, mode=mode).unexplained for mode in (READ, DRY_RUN))
    assert bool(reads) == bool(writes)
    return (*reads, *writes)


def _coded(answer: Exchange, level: int) -> Exchange:
    coded = with_body(answer, gzip.compress(answer.body.data, level, mtime=0))
    return coded._replace(headers=(*answer.headers, (b"content-encoding", b"gzip")))


def in_large_bodies(legacy: Exchange, native: Exchange) -> Iterable[Difference]:
    """Compare bodies of which only digests are recorded."""
    one, other = (exceeding(each.body.data, limit=10) for each in (legacy, native))
    return compare(one, other).unexplained


def in_messages(legacy: Exchange, native: Exchange) -> Iterable[Difference]:
    """Compare conversations in which the body is one of the server's messages."""
    return compare_conversations(_conversation(legacy), _conversation(native)).unexplained


def _conversation(answer: Exchange) -> Conversation:
    messages = (OTHER_FRAMES[0], answer.body.data.decode(), OTHER_FRAMES[1])
    return Conversation(HANDSHAKE, (), tuple(ServerMessage(each, 0) for each in messages), Ending("client", 1000))


def in_documents(legacy: Exchange, native: Exchange) -> Iterable[Difference]:
    """Compare stored documents, one of which is the body's value."""
    one, other = ([{"first": True}, value_of(each)] for each in (legacy, native))
    return compare_documents("notes", one, other, Correspondence(LONG_AFTER, LONG_AFTER))


Carrier = Callable[[Exchange, Exchange], Iterable[Difference]]
CARRIERS: Final[dict[str, tuple[Carrier, Callable[[ValuePath], ValuePath]]]] = {
    "coded body": (in_coded_bodies, lambda path: path),
    "large body": (in_large_bodies, lambda path: ("body",)),
    "message": (in_messages, lambda path: ("frames", "*", *path[1:])),
    "document": (in_documents, lambda path: ("store", "notes", "*", *path[1:])),
}


@functools.cache
def suitable(name: str) -> list[Exchange]:
    return [each for each in ANSWERS if applies(FAULTS[name], each)]


CASES: Final = [
    (carrier, name) for carrier in CARRIERS for name in OF_BODIES if carrier != "document" or name not in OF_TEXTS
]


def is_possible(carrier: str, native: Exchange) -> bool:
    """Return False for a fault that the carrier cannot have: a message is UTF-8."""
    try:
        native.body.data.decode()
    except ValueError:
        return carrier != "message"
    return True


def check_fault(carrier: str, name: str, data: st.DataObject) -> None:
    legacy = data.draw(st.sampled_from(suitable(name)))
    planted = FAULTS[name](data.draw, legacy)
    assume(planted is not None and planted.exchange != legacy and is_possible(carrier, planted.exchange))
    assert planted is not None
    differences_of, moved = CARRIERS[carrier]
    paths = [one.path for one in differences_of(legacy, planted.exchange)]
    assert (name, bool(paths)) == (name, True)
    assert [path for path in paths if not is_related(path, moved(planted.path))] == []
    assert list(differences_of(legacy, legacy)) == []


@pytest.mark.parametrize("carrier", CARRIERS)
@settings(max_examples=examples(40), suppress_health_check=UNCHECKED)
@given(data=st.data())
def test_random_fault_elsewhere_is_named(carrier: str, data: st.DataObject) -> None:
    check_fault(*data.draw(st.sampled_from([case for case in CASES if case[0] == carrier])), data)


@pytest.mark.slow  # each kind of fault
@pytest.mark.parametrize(("carrier", "name"), CASES)
@settings(max_examples=examples(50), suppress_health_check=UNCHECKED)
@given(data=st.data())
def test_every_random_fault_elsewhere_is_named(carrier: str, name: str, data: st.DataObject) -> None:
    check_fault(carrier, name, data)
