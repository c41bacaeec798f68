"""Requests that were submitted to the shadow process: each has a number until its verdict, and is counted once.

    submit_read, submit_conversation ─▶ CompareRead, CompareConversation ─▶ record_verdict
    dry_run ─▶ DryRun ─▶ end_dry_run ─▶ submit_legacy_answer ─▶ LegacyServed ─▶ record_verdict

A request is skipped, with the reason, if too many are pending, its deadline passes or the process ends.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from proxy.comparison.conversation import RawConversation
from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Reason
from proxy.config.service_models import ShadowWorkerSettings
from proxy.shadow.conversation_sender import ConversationSender
from proxy.shadow.counts import Counts
from proxy.shadow.messages import (
    AnsweredRead,
    CompareConversation,
    Compared,
    CompareRead,
    CompareReads,
    ConnectionInfo,
    Discard,
    DryRun,
    LegacyServed,
    RequestSnapshot,
    ToShadow,
)
from proxy.shadow.mirror import DirectRead
from proxy.shadow.pending import PendingRequest, PendingTable
from proxy.types import Backend

REPLAYS: Final = 3
"""Multiple of `shadow.deadline` after which a conversation expires: one to wait, and two for its replays."""


class SendMessage(Protocol):
    """Sends a message to the process; drops it if there is no process."""

    def __call__(self, message: ToShadow, *, urgent: bool = False) -> None: ...


class Submissions:
    """The pending requests of one gateway process. `settings` may be replaced at any time; `counts` gets each end."""

    def __init__(self, settings: ShadowWorkerSettings, send: SendMessage, counts: Counts) -> None:
        self.settings = settings
        self._send: Final = send
        self._counts: Final = counts
        self._pending: Final = PendingTable()
        self._dry_runs = 0
        self._sender: Final = ConversationSender(send, lambda number: self._pending.get(number) is not None)

    def __len__(self) -> int:
        return len(self._pending)

    def has_room(self, route: str, *, dry_run: bool) -> bool:
        """Return True if another request of a route may be pending, or run dry."""
        if dry_run and self._dry_runs >= self.settings.concurrency:
            return False
        return self._pending.has_room(route, self._max_pending)

    def submit_read(self, route: str, served: Backend, connection: ConnectionInfo, exchange: Exchange) -> None:
        """Submit a read, answered by `served`, for comparison."""
        deadline = self._deadline()
        number = self._add(PendingRequest(route, served, exchange.size, deadline, caller=connection.caller))
        if number is not None:
            self._send(CompareRead(number, route, served, connection, exchange, deadline))

    def add_direct_read(self, read: DirectRead) -> AnsweredRead | None:
        """Return a read with its number for `send_direct_reads`; None if it is skipped, or submitted by itself."""
        route, served, size = read.route.name, read.decision.backend, len(read.body)
        if size > self.settings.max_body:
            read.submit(self, self.settings.max_body)
            return None
        deadline = self._deadline()
        number = self._add(PendingRequest(route, served, size, deadline, caller=read.request.caller))
        return None if number is None else read.answered(number, deadline)

    def send_direct_reads(self, reads: list[AnsweredRead]) -> None:
        """Submit those reads whose process has not ended since they were numbered."""
        pending = [read for read in reads if self._pending.get(read.number) is not None]
        if pending:
            self._send(CompareReads.of(pending))

    def submit_conversation(self, route: str, connection: ConnectionInfo, raw: RawConversation) -> None:
        """Submit a conversation with legacy for comparison."""
        seconds, now = self.settings.deadline, time.monotonic()
        pending = PendingRequest(route, "legacy", raw.size, now + REPLAYS * seconds, caller=connection.caller)
        number = self._add(pending)
        if number is not None:
            self._sender.submit(CompareConversation(number, route, connection, raw, now + seconds))

    async def dry_run(self, route: str, request: RequestSnapshot) -> int | None:
        """Run a write dry and wait for its end. Return its number; None if nothing will be compared."""
        result: asyncio.Future[Reason | None] = asyncio.get_running_loop().create_future()
        caller = request.connection.caller
        number = self._add(PendingRequest(route, "legacy", len(request.body), result=result, caller=caller))
        if number is None:
            return None
        timeout = self.settings.dry_run_timeout
        self._send(DryRun(number, route, request, time.monotonic() + timeout), urgent=True)
        self._dry_runs += 1
        reason: Reason | None = "client_gone"
        try:
            async with asyncio.timeout(timeout):
                reason = await result
        except TimeoutError:
            reason = "timeout"
        finally:
            self._dry_runs -= 1
            if reason is not None:
                self.discard(number, reason)
        return number if reason is None else None

    def end_dry_run(self, number: int, reason: Reason | None) -> bool:
        """End the wait for a dry run, with the reason if nothing will be compared; return False if none waits."""
        pending = self._pending.get(number)
        if pending is None or pending.result is None or pending.result.done():
            return False
        pending.result.set_result(reason)
        return True

    def submit_legacy_answer(self, number: int, exchange: Exchange) -> None:
        """Submit legacy's answer to a write that ran dry."""
        pending = self._pending.get(number)
        if pending is not None:
            pending.deadline = self._deadline()
            self._send(LegacyServed(number, exchange))

    def record_verdict(self, compared: Compared) -> str | None:
        """Count a verdict. Return the request's route if it was compared; None if it was skipped or is not pending."""
        pending = self._pending.pop(compared.number)
        if pending is None:
            return None
        self._counts.add_verdict(pending.route, pending.served, compared.verdict, compared.reason, pending.caller)
        return pending.route if compared.reason is None else None

    def discard(self, number: int, reason: Reason) -> None:
        """Skip the comparison of a pending request."""
        pending = self._pending.pop(number)
        if pending is not None:
            self._send(Discard(number))
            self.skip(pending.route, pending.served, reason)

    def skip(self, route: str, served: Backend, reason: Reason) -> None:
        """Count a request that is not compared and was not sent to the process."""
        self._counts.add_skipped(route, served, reason)

    def skip_all(self, reason: Reason) -> None:
        """Skip all pending requests."""
        self._skip_pending(self._pending.numbers(), reason)

    def skip_expired(self) -> None:
        """Skip the requests whose deadline has passed."""
        self._skip_pending(self._pending.expired(time.monotonic()), "timeout")

    def cancel(self) -> None:
        """Stop sending conversations."""
        self._sender.cancel()

    def _skip_pending(self, numbers: list[int], reason: Reason) -> None:
        for number in numbers:
            if not self.end_dry_run(number, reason):  # otherwise `dry_run` discards it
                self.discard(number, reason)

    def _add(self, request: PendingRequest) -> int | None:
        """Return the number of a request that is pending from here on; None if it is skipped: too many are."""
        number = self._pending.add(request, self._max_pending)
        if number is None:
            self.skip(request.route, request.served, "queue_full")
        return number

    def _deadline(self) -> float:
        return time.monotonic() + self.settings.deadline

    @property
    def _max_pending(self) -> int:
        return self.settings.queue + self.settings.concurrency
