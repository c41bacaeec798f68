"""The verdict on one proxy's handling of a case. Pure.

`right`: every delivery had the outcome that the case names.
`other`: in step, but another outcome: a refusal if an answer is right, another status, a header too many.
`hung`: a client got neither an answer nor the end of its connection.
`out of step`: one of
  - a client read an answer to another request than its own, one that nobody asked for, or bytes that are not HTTP;
  - an innocent request, behind the case or on a new connection, did not get exactly its own answer;
  - the upstream, as Node reads its bytes, got a request that is hidden in a body or that the proxy does not believe
    to have forwarded, or another body than the proxy believes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from tests.conformance.answers import Answer
from tests.conformance.case import Case, personal
from tests.conformance.conversation import Conversation
from tests.conformance.oracle import Read

SAFE: Final = (b"GET", b"HEAD", b"OPTIONS", b"TRACE")


class Verdict(IntEnum):
    """The verdicts, from best to worst."""

    RIGHT = 0
    OTHER = 1
    HUNG = 2
    OUT_OF_STEP = 3

    @property
    def label(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one delivery, and the reason."""

    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A conversation with the requests that reached the upstream, as Node reads them.

    `believed` are the requests that the gateway believes to have forwarded (None: the proxy keeps no such record).
    """

    conversation: Conversation
    reached: tuple[Read, ...]
    believed: tuple[Read, ...] | None


def judge(evidence: Evidence, *, exact: bool) -> Finding:
    """Return the verdict on one delivery. `exact`: a refusal must have the very status that the case names."""
    checks = (
        (Verdict.OUT_OF_STEP, _find_confusion(evidence)),
        *(() if evidence.conversation.case.is_open else _expectations(evidence, exact)),
    )
    for verdict, reason in checks:
        if reason:
            return Finding(verdict, reason)
    return Finding(Verdict.RIGHT)


def _expectations(evidence: Evidence, exact: bool) -> tuple[tuple[Verdict, str], ...]:
    return (
        (Verdict.HUNG, "" if evidence.conversation.timely else "neither an answer nor the connection's end"),
        (Verdict.OTHER, _find_difference(evidence, exact)),
    )


def worst(findings: Iterable[Finding]) -> Finding:
    """Return the worst of several verdicts, the first among equals."""
    return max(findings, key=lambda finding: finding.verdict)


# -- out of step


def _find_confusion(evidence: Evidence) -> str:
    talk = evidence.conversation
    return (
        (f"the client read {talk.malformed}" if talk.malformed else "")
        or _find_foreign(talk)
        or _find_wronged(talk)
        or ("" if talk.case.is_open else _find_hidden(evidence))
        or _find_disbelieved(evidence)
    )


def _find_foreign(talk: Conversation) -> str:
    """Name an answer to somebody else. A body that became a request by mutation has no token to echo."""
    if len(talk.answers) > len(talk.case.returns) and not (talk.case.leaves or talk.case.is_open):
        return f"{len(talk.answers)} answers to {len(talk.case.returns)} requests"
    for answer in (*talk.answers, talk.follower, talk.fresh):
        if answer is None:
            continue
        echo = answer.value(b"x-echo")
        if answer.value(b"x-poison") is not None or (answer.complete and b"X-Poison" in answer.body):
            return "the client read an answer that nobody asked for"
        if echo is not None and echo != talk.token and (echo or not talk.case.is_open):
            return f"the client read the answer to {echo.decode()}"
    return ""


def _find_wronged(talk: Conversation) -> str:
    own = b"GET /innocent-%b %b" % (talk.token, talk.token)
    follower = talk.follower
    if follower is not None and follower.complete and follower.status == 200 and follower.body != own:
        return f"the innocent request behind it read {follower.body[:60]!r}"
    if talk.fresh is None or talk.fresh.body != own.replace(b"innocent-", b"innocent-fresh-"):
        read = None if talk.fresh is None else (talk.fresh.status, talk.fresh.body[:60])
        return f"an innocent request on a new connection read {read!r}"
    return ""


def _find_hidden(evidence: Evidence) -> str:
    case, token = evidence.conversation.case, evidence.conversation.token
    named = {request.split(b" ")[1] for request in (personal(line, token) for line in case.reaches)}
    for request in evidence.reached:
        if b"smuggled" in request.target and request.target not in named:
            return f"the upstream read the hidden {request.method.decode()} {request.target.decode('latin-1')}"
    innocents = [request for request in evidence.reached if b"innocent-" + token in request.target]
    if len(innocents) > 1:
        return "the innocent request reached the upstream twice"
    return ""


def _find_disbelieved(evidence: Evidence) -> str:
    if evidence.believed is None:
        return ""
    read = [(request.method, request.body) for request in _reached_once(evidence) if request.complete]
    believed = [(request.method, request.body) for request in evidence.believed]
    if _is_contained(read, believed):
        return ""
    return f"the upstream read {_shown(read)}, the gateway believes {_shown(believed)}"


def _is_contained(read: Sequence[tuple[bytes, bytes]], believed: Sequence[tuple[bytes, bytes]]) -> bool:
    """Return whether every request read is one of those believed, each at most once: one cut short may be missing."""
    left = list(believed)
    for request in read:
        if request not in left:
            return False
        left.remove(request)
    return True


def _shown(requests: Sequence[tuple[bytes, bytes]]) -> str:
    return ", ".join(f"{method.decode()} ({len(body)} B)" for method, body in requests) or "nothing"


def _reached_once(evidence: Evidence) -> list[Read]:
    """Return the requests that reached the upstream, without the repetition of a safe one.

    The repetition is right if the upstream closed the connection instead of answering (RFC 9110 §9.2.2).
    """
    reached: list[Read] = []
    for request in evidence.reached:
        repeated = evidence.conversation.case.closes and request.method in SAFE and request in reached
        if not repeated:
            reached.append(request)
    return reached


# -- another outcome


def _find_difference(evidence: Evidence, exact: bool) -> str:
    talk = evidence.conversation
    case = talk.case
    if case.leaves:
        return ""
    if case.or_refused and _is_refused(evidence):
        return ""
    return (
        _compare_statuses(case, talk.answers, exact)
        or _compare_reached(evidence)
        or _compare_body(case, talk.answers)
        or _compare_heads(evidence)
    )


def _is_refused(evidence: Evidence) -> bool:
    talk = evidence.conversation
    statuses = [answer.status for answer in talk.answers]
    if talk.case.answer is not None and statuses == [502]:
        return True
    own = [read for read in evidence.reached if b"innocent" not in read.target and read.complete]
    return not own and len(statuses) <= 1 and all(400 <= status < 600 for status in statuses)


def _compare_statuses(case: Case, answers: Sequence[Answer], exact: bool) -> str:
    statuses = tuple(answer.status for answer in answers)
    if statuses == case.returns:
        return ""
    alike = len(statuses) == len(case.returns) and all(
        got == due or (not exact and got >= 400 and due >= 400) for got, due in zip(statuses, case.returns, strict=True)
    )
    return "" if alike else f"answered {statuses}, not {case.returns}"


def _compare_reached(evidence: Evidence) -> str:
    case, token = evidence.conversation.case, evidence.conversation.token
    reached = _reached_once(evidence)
    read = [request.line for request in reached if b"innocent" not in request.target and request.complete]
    due = [personal(line, token) for line in case.reaches]
    if read in (due, [personal(line, token) for line in case.or_reaches]):
        return ""
    return f"{[line[:60] for line in read]} reached the upstream, not {[line[:60] for line in due]}"


def _compare_body(case: Case, answers: Sequence[Answer]) -> str:
    if case.answer is None or not answers:
        return ""
    answer = answers[0]
    if answer.complete == case.broken:
        return f"the answer was {'complete' if answer.complete else 'broken off'}"
    if case.body is not None and not case.broken and answer.body != case.body:
        return f"the body was {answer.body[:60]!r}"
    return ""


def _compare_heads(evidence: Evidence) -> str:
    talk = evidence.conversation
    case = talk.case
    if not (case.carries or case.drops or case.shows or case.hides):
        return ""
    own = [read for read in evidence.reached if b"innocent" not in read.target]
    forwarded = [line.lower() for line in (own[0].head if own else ())]
    shown = [line.lower() for line in (talk.answers[0].head if talk.answers else ())]
    for lines, wanted, unwanted, where in (
        (forwarded, case.carries, case.drops, "forwarded"),
        (shown, case.shows, case.hides, "returned"),
    ):
        for start in wanted:
            if not any(line.startswith(personal(start, talk.token).lower()) for line in lines):
                return f"{start.decode('latin-1')} was not {where}"
        for start in unwanted:
            if any(line.startswith(personal(start, talk.token).lower()) for line in lines):
                return f"{start.decode('latin-1')} was {where}"
    return ""
