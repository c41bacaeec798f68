"""Every read that is served without a task is part of one batch, and every batch ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.loading import parse
from proxy.shadow.direct_reads import MAX_STEPS, MAX_WAITING_BYTES, READS_PER_STEP, DirectReadQueue
from proxy.shadow.messages import AnsweredRead
from proxy.shadow.mirror import DirectRead
from tests.support.shadowed_requests import direct_read

[ROUTE] = parse("legacy: {url: 'http://a'}\nroutes: [{name: r, match: GET /x}]\n", {}).routes


class Batches:
    """A queue whose reads are numbered from 0; those in `skipped` are part of no batch."""

    def __init__(self, skipped: frozenset[int] = frozenset()) -> None:
        self.sent: list[list[int]] = []
        self.numbered = 0
        self._skipped = skipped
        self.queue = DirectReadQueue(self._prepare, lambda reads: self.sent.append([read.number for read in reads]))

    def _prepare(self, read: DirectRead) -> AnsweredRead | None:
        number, self.numbered = self.numbered, self.numbered + 1
        return None if number in self._skipped else read.answered(number, 0.0)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.frozensets(st.integers(0, 200)))
def test_batch_excludes_reads_that_come_during_it(arrivals: list[int], skipped: frozenset[int]) -> None:
    # Each number of reads comes before one step.
    batches, batch, steps = Batches(skipped), range(0), 0
    for arriving in arrivals:
        for _ in range(arriving):
            assert batches.queue.add(direct_read(ROUTE))
        if steps == 0:
            batch = range(batches.numbered, batches.numbered + len(batches.queue))
        steps, sent = steps + 1, len(batches.sent)
        if batches.queue.step():
            assert (steps < MAX_STEPS, len(batches.sent)) == (True, sent)
        else:
            submitted = [number for number in batch if number not in skipped]
            assert batches.sent[sent:] == ([submitted] if submitted else [])
            assert batches.numbered == batch.stop
            steps = 0


def test_reads_of_an_unfinished_batch_still_wait() -> None:
    batches = Batches()
    for _ in range(2 * READS_PER_STEP + 1):
        batches.queue.add(direct_read(ROUTE))
    for left in (READS_PER_STEP + 1, 1):
        assert batches.queue.step()
        assert len(batches.queue) == left
    assert not batches.queue.step()
    assert (len(batches.queue), batches.sent) == (0, [[*range(2 * READS_PER_STEP + 1)]])


@given(st.lists(st.integers(1, 10) | st.none(), min_size=1, max_size=20))
def test_waiting_bodies_stay_within_their_limit(events: list[int | None]) -> None:
    # A number adds a read with as many tenths of the limit, None does a step.
    batches, sizes = Batches(), list[int]()
    for event in events:
        if event is None:
            batches.queue.step()
            continue
        sizes.append(event * MAX_WAITING_BYTES // 10)
        waiting = sum(sizes[batches.numbered :])
        assert batches.queue.add(direct_read(ROUTE, bytes(sizes[-1]))) == (waiting <= MAX_WAITING_BYTES)
        if waiting > MAX_WAITING_BYTES:
            assert [number for batch in batches.sent for number in batch] == [*range(len(sizes))]
