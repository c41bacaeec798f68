"""Run cases through several entrances at once, one delivery at a time in each, and judge them.

Such an entrance has one connection to its upstream, which every delivery reuses. If a case leaves that connection out
of step, the next request shows it.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from tests.conformance.case import Case, personal
from tests.conformance.conversation import Conversation, converse
from tests.conformance.delivery import BYTES, GLUED, WHOLE, Delivery, plan
from tests.conformance.entrances import LIMIT, SHORT_LIMIT, Entrance, gateway_entrance, nginx_entrances
from tests.conformance.judgement import Evidence, Finding, judge, worst
from tests.conformance.oracle import Oracle, Read
from tests.conformance.upstream import TOKEN, Recording

Depth = Literal["oracle", "brief", "quick", "thorough"]
TOKENS: Final = itertools.count(1)
INNOCENT: Final = re.compile(rb"innocent-(?:fresh-)?(id[0-9]{7})")


@dataclass(slots=True)
class Outcome:
    """The result of a case with one proxy: the evidence of each delivery, and the findings in the same order."""

    case: Case
    evidence: list[Evidence] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def finding(self) -> Finding:
        return worst(self.findings)

    @property
    def described(self) -> str:
        """The worst delivery and its reason."""
        at = self.findings.index(self.finding)
        talk = self.evidence[at].conversation
        return f"{talk.sending.name} / {talk.answering.name}: {self.finding.reason}"


async def run_gateway(
    cases: Sequence[Case], directory: Path, oracle: Oracle | None, depth: Depth, lanes: int = 4, limit: float = LIMIT
) -> list[Outcome]:
    """Run the cases through gateways in this process, those that reach a limit through gateways with short limits."""
    async with AsyncExitStack() as stack:
        patient = [await stack.enter_async_context(gateway_entrance(directory, i, limit)) for i in range(lanes)]
        hasty = [await stack.enter_async_context(gateway_entrance(directory, i, SHORT_LIMIT)) for i in range(lanes)]
        finished, waiting = await asyncio.gather(
            run_cases(patient, [case for case in cases if not case.waits], oracle, depth),
            run_cases(hasty, [case for case in cases if case.waits], oracle, depth),
        )
    outcomes = {outcome.case.name: outcome for outcome in (*finished, *waiting)}
    return [outcomes[case.name] for case in cases]


async def run_nginx(
    cases: Sequence[Case], directory: Path, oracle: Oracle | None, lanes: int = 16, limit: int = 2
) -> list[Outcome]:
    """Run the cases through nginx; `limit`: the seconds of its timeouts."""
    async with nginx_entrances(directory, lanes, limit) as entrances:
        return await run_cases(entrances, cases, oracle, "oracle")


async def run_cases(
    entrances: Sequence[Entrance], cases: Sequence[Case], oracle: Oracle | None, depth: Depth
) -> list[Outcome]:
    """Return the outcomes of the cases, in their order, spread evenly over the entrances."""
    shares = [cases[i :: len(entrances)] for i in range(len(entrances))]
    lanes = [_run_lane(entrance, share, depth) for entrance, share in zip(entrances, shares, strict=True)]
    talks = dict(itertools.chain.from_iterable(await asyncio.gather(*lanes)))
    outcomes = {case.name: Outcome(case) for case in cases}
    for entrance, share in zip(entrances, shares, strict=True):
        evidence = Gathered(entrance, oracle)
        for case in share:
            for talk in talks[case.name]:
                add(outcomes[case.name], evidence.of(talk), exact=entrance.forwarded is not None)
    return list(outcomes.values())


def add(outcome: Outcome, evidence: Evidence, *, exact: bool) -> None:
    """Judge the evidence of one more delivery."""
    outcome.evidence.append(evidence)
    outcome.findings.append(judge(evidence, exact=exact))


async def _run_lane(entrance: Entrance, cases: Sequence[Case], depth: Depth) -> list[tuple[str, list[Conversation]]]:
    talks: list[tuple[str, list[Conversation]]] = []
    for case in cases:
        pairs = deliveries(case, depth)
        own = [await converse(entrance, case, next_token(), *pair) for pair in pairs]
        talks.append((case.name, own))
    return talks


def next_token() -> bytes:
    """Return a token that no other delivery of this process has."""
    return b"id%07d" % next(TOKENS)


def deliveries(case: Case, depth: Depth) -> Iterator[tuple[Delivery, Delivery]]:
    """Return how the request and the answer of each delivery are written. One of the two is always whole."""
    if case.waits:
        yield WHOLE, WHOLE
        return
    token = b"id0000000"
    glue = not (case.unfinished or case.half_closes or case.leaves)
    sendings = plan(personal(case.sent, token), glue=glue, thorough=depth == "thorough")
    if case.answer is None:
        yield from ((each, WHOLE) for each in _chosen(sendings, depth))
        return
    glues_answer = not (case.endless or case.broken)
    answerings = plan(personal(case.answer, token), glue=glues_answer, thorough=depth == "thorough")
    yield from ((WHOLE, each) for each in _chosen(answerings, depth))
    if glue:
        yield GLUED, WHOLE


def _chosen(deliveries: list[Delivery], depth: Depth) -> list[Delivery]:
    """Return the deliveries of a plan that a depth makes: `brief` has the two of them that differ most."""
    if depth == "oracle":
        return [each for each in deliveries if each in (WHOLE, GLUED)]
    if depth == "brief":
        return [each for each in deliveries if each in (BYTES, GLUED)] or [WHOLE]
    return deliveries


class Gathered:
    """By the token of a delivery: the requests that reached an entrance's upstream, and those its proxy recorded."""

    def __init__(self, entrance: Entrance, oracle: Oracle | None) -> None:
        self._reached = _by_token(
            read for each in entrance.upstream.recordings for read in read_recording(each, oracle)
        )
        self._believed = _by_token(entrance.forwarded.requests) if entrance.forwarded is not None else None

    def of(self, talk: Conversation) -> Evidence:
        """Return the evidence of one conversation."""
        believed = self._believed
        own = tuple(believed.get(talk.token, ())) if believed is not None else None
        return Evidence(talk, tuple(self._reached.get(talk.token, ())), own)


def read_recording(recording: Recording, oracle: Oracle | None) -> Sequence[Read]:
    """Return the requests on one upstream connection, as Node reads them if it is installed, else as llhttp does."""
    if oracle is None:
        return recording.requests
    requests = oracle.read_requests(b"".join(recording.segments)).requests
    if sum(request.complete for request in requests) >= len(recording.segments):
        return requests
    # Node would have ended this connection, so the rest reached it on others.
    return [request for segment in recording.segments for request in oracle.read_requests(segment).requests]


def _by_token(requests: Iterable[Read]) -> dict[bytes, list[Read]]:
    requests_by_token: dict[bytes, list[Read]] = defaultdict(list)
    for request in requests:
        match = TOKEN.search(request.target) or next(filter(None, map(TOKEN.search, request.head)), None)
        requests_by_token[match[0] if match is not None else b""].append(request)
    return requests_by_token
