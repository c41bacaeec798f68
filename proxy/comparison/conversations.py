"""Compare a conversation with legacy and its replay on native: handshake, messages, their positions, and the end. Pure.

Messages are compared field by field, by the contract's `x-frames`, like answers to a write: values that a backend
generates correspond by their role. A message's position is the number of client messages before it:

- *late*: native sent a message after more of them. The replay waits for each message, so this is not only slowness.
- *early*: native sent a message after fewer of them. This is a difference if legacy sent it more than `PROMPT` seconds
  after the last client message that native had received; otherwise legacy may have answered the same message.
- Further messages of native are differences if legacy had the time to send them before the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.conversation import Conversation, ServerMessage
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.exchanges import UNKNOWN_CLOCK_TOLERANCE, AnswerComparison, verdict_of
from proxy.comparison.message_alignment import MessagePair, Signature, align_messages
from proxy.comparison.messages import ReadMessage, compare_messages, whole
from proxy.comparison.modes import DRY_RUN
from proxy.comparison.values import ValueFindings
from proxy.comparison.verdicts import Difference, LocatedValue, Verdict, grade
from proxy.contract.divergences import Divergence, Explanation, Occurrence, explain, operation_of
from proxy.contract.model import HintsAt, Operation
from proxy.contract.values import ContractViolation
from proxy.recordings.model import RecordedRequest
from proxy.types import JSON, Backend

PROMPT: Final = 2.0
"""Seconds within which legacy is assumed to answer a message, unless it calls a model, which the replay imitates."""
BURST: Final = 0.05
"""Maximum seconds between two messages with which legacy answers one client message."""
MAX_NAMED: Final = 4096
"""Maximum length of a client's message whose ids correspond to themselves."""


def compare_conversations(
    legacy: Conversation,
    native: Conversation,
    operation: Operation | None = None,
    divergences: Iterable[Divergence] = (),
) -> Verdict:
    """Return the verdict on a conversation and its replay, which are those of one client."""
    comparison = _ConversationComparison(legacy, native, operation, tuple(divergences))
    findings = comparison.findings()
    differences = tuple(findings.differences)
    explanation = comparison.explain(differences)
    return verdict_of(differences, explanation, comparison.violations(), tuple(findings.hidden))


class _ConversationComparison:
    def __init__(
        self,
        legacy: Conversation,
        native: Conversation,
        operation: Operation | None,
        divergences: Sequence[Divergence],
    ) -> None:
        self._legacy, self._native, self._operation = legacy, native, operation
        self._divergences = divergences
        self.handshakes = DecodedAnswer.of(legacy.handshake), DecodedAnswer.of(native.handshake)
        names = _correspondence(legacy, native)
        self._names = names
        self._handshake = AnswerComparison(*self.handshakes, DRY_RUN, lambda: names, operation)
        self._messages = [
            [ReadMessage(each.data) for each in conversation.received] for conversation in (legacy, native)
        ]

    def findings(self) -> ValueFindings:
        """Return every difference, in the order of the conversation."""
        result = self._handshake.findings() or ValueFindings()
        if not (self._legacy.is_open and self._native.is_open):
            return result
        for pair in self._pairs:
            self._names.step += 1
            findings = self._compare(pair)
            result.differences += findings.differences
            result.hidden += findings.hidden
        result.differences += self._compare_endings()
        return result

    def explain(self, differences: Sequence[Difference]) -> Explanation:
        """Return the divergences that account for differences, and the differences that none accounts for."""
        target = self._legacy.handshake.target.decode("latin-1")
        sent = RecordedRequest("WS", target, (), b"")
        occurrence = Occurrence(operation_of("WS", target), exchange=(sent, *self.handshakes))
        return explain(self._divergences, occurrence, differences)

    def violations(self) -> Iterator[ContractViolation]:
        """Yield every violation of the contract on either side."""
        yield from self._handshake.violations()
        if self._operation is not None:
            backends: tuple[Backend, Backend] = ("legacy", "native")
            for backend, messages in zip(backends, self._messages, strict=True):
                for index, message in enumerate(messages):
                    for one in self._operation.frame_violations("received", message.value):
                        yield replace(one, path=("frames", index, *one.path[1:]), backend=backend)

    @cached_property
    def _pairs(self) -> list[MessagePair]:
        return align_messages(*map(self._signatures, self._messages))

    def _signatures(self, messages: Sequence[ReadMessage]) -> list[Signature]:
        """Return the properties by which messages are paired; those whose move is declared are unordered."""
        moves = [whole("order", (index, index), each.value, each.value) for index, each in enumerate(messages)]
        ordered = set(map(id, self.explain(moves).unexplained))
        hints = self._hints
        return [
            each.signature(hints, is_unordered=id(move) not in ordered)
            for each, move in zip(messages, moves, strict=True)
        ]

    @property
    def _hints(self) -> HintsAt | None:
        operation = self._operation
        return (lambda path: operation.hints(path, 101)) if operation is not None else None

    def _compare(self, pair: MessagePair) -> ValueFindings:
        legacy, native = pair.legacy, pair.native
        if legacy is None or native is None:
            return ValueFindings(list(self._one_sided(legacy, native)))
        one, other = self._messages[0][legacy], self._messages[1][native]
        findings = compare_messages(one, other, (legacy, native), lambda: self._names, self._hints)
        if pair.moved:
            findings.differences.append(whole("order", (legacy, native), one.value, other.value))
        else:
            findings.differences += self._compare_positions(legacy, native)
        return findings

    def _one_sided(self, legacy: int | None, native: int | None) -> Iterator[Difference]:
        if legacy is not None and not (self._native_closed_first and legacy > self._last_paired[0]):
            yield whole("missing", (legacy, None), self._messages[0][legacy].value, None)
        if native is not None and self._should_have_come(native):
            yield whole("extra", (None, native), None, self._messages[1][native].value)

    def _compare_positions(self, legacy: int, native: int) -> Iterator[Difference]:
        one, other = self._legacy.received[legacy], self._native.received[native]
        if other.after > one.after or self._is_early(one, other.after):
            yield _moved(("frames", legacy), ("frames", native), one.after, other.after)

    def _is_early(self, legacy: ServerMessage, after: int) -> bool:
        return after < legacy.after and legacy.at - self._sent_at(after) > PROMPT

    @cached_property
    def _last_paired(self) -> tuple[int, int]:
        """Return the indexes of the last pair of messages, -1 if there is none."""
        last = (-1, -1)
        for legacy, native, _ in self._pairs:
            if legacy is not None and native is not None:
                last = max(last[0], legacy), max(last[1], native)
        return last

    @cached_property
    def _native_closed_first(self) -> bool:
        """Return True if native closed and legacy did not. Later messages are then not reported as missing."""
        legacy, native = self._legacy.ending, self._native.ending
        if native is None or native.by == "client" or legacy is None:
            return False
        if legacy.by == "server":
            return native.after < legacy.after
        return self._last_paired[0] < len(self._legacy.received) - 1 or self._had_time(native.after)

    def _should_have_come(self, native: int) -> bool:
        """Return True if legacy had the time to send a message that native sent."""
        return native < self._last_paired[1] or self._had_time(self._native.received[native].after)

    def _had_time(self, after: int) -> bool:
        """Return True if legacy had the time to answer that number of client messages.

        The positions of native's answers decide, because legacy's own may be those of later messages.
        """
        ending = self._legacy.ending
        if ending is None or ending.by == "server":
            return True
        answers = [
            self._legacy.received[legacy].at
            for legacy, native, _ in self._pairs
            if legacy is not None and native is not None and self._native.received[native].after >= after
        ]
        return ending.at - max(answers) > BURST if answers else ending.at - self._sent_at(after) > PROMPT

    def _sent_at(self, number: int) -> float:
        """Return the time of the client's message of that number, from 1; that of the handshake for 0."""
        return self._legacy.sent[number - 1].at if number else 0.0

    # -- the end

    def _compare_endings(self) -> Iterator[Difference]:
        legacy, native = self._legacy.ending, self._native.ending
        closes = [_close(one.code) if one is not None and one.by == "server" else None for one in (legacy, native)]
        if legacy is None or closes == [None, None]:
            return
        if native is None or closes[1] is None:
            yield Difference(("close",), "missing", grade("missing", ("close",)), closes[0])
        elif closes[0] is None:
            if self._native_closed_first:
                yield Difference(("close",), "extra", "breaking", None, closes[1])
        else:
            if legacy.code != native.code:
                yield _of_close("code", legacy.code, native.code)
            if legacy.reason != native.reason:
                yield _of_close("reason", legacy.reason, native.reason)
            early = native.after < legacy.after and legacy.at - self._sent_at(native.after) > PROMPT
            if native.after > legacy.after or early:
                yield _moved(("close",), ("close",), legacy.after, native.after)


def _close(code: int) -> LocatedValue:
    return LocatedValue(("close",), code)


def _of_close(name: str, legacy: JSON, native: JSON) -> Difference:
    path = ("close", name)
    return Difference(path, "value", grade("value", path), LocatedValue(path, legacy), LocatedValue(path, native))


def _moved(legacy: tuple[str | int, ...], native: tuple[str | int, ...], one: int, other: int) -> Difference:
    """Return the difference of a message, or a close, at another position among the client's messages."""
    path = (*("*" if isinstance(step, int) else step for step in legacy), "after")
    spots = LocatedValue((*legacy, "after"), one), LocatedValue((*native, "after"), other)
    return Difference(path, "order", grade("order", path), *spots)


def _correspondence(legacy: Conversation, native: Conversation) -> Correspondence:
    """Return the correspondence of ids and dates. Those that the client sent correspond to themselves.

    Legacy's dates are as far apart as the client's messages were; native's are all of the time of the replay.
    """
    longest = int(max(legacy.handshake.total, *(each.at for each in legacy.received), 0.0) * 1000)
    tolerance = UNKNOWN_CLOCK_TOLERANCE + longest
    names = Correspondence(
        int(legacy.handshake.started * 1000),
        int(native.handshake.started * 1000),
        fresh=tolerance,
        coincidence=tolerance,
    )
    sent = [legacy.handshake.target.decode("latin-1")]
    sent += [each.data for each in legacy.sent if isinstance(each.data, str) and len(each.data) <= MAX_NAMED]
    for text in sent:
        names.compare_text(text, text)
    return names
