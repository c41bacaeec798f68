"""The shadow as the gateway uses it, which records its calls."""

from __future__ import annotations

from starlette.types import Receive

from proxy.comparison.exchange import LIMIT, Exchange
from proxy.comparison.verdicts import Reason
from proxy.config.models import Route
from proxy.gateway.bucketing import Decision
from proxy.shadow.messages import CompareReads, ConnectionInfo, RequestSnapshot
from proxy.shadow.mirror import DirectRead, MirroredRead, MirroredRequest, ServedRequest
from proxy.types import Backend


class RecordingSink:
    """Records the calls, and answers each dry run with `number`. Also samples all reads of a gateway."""

    def __init__(self, number: int | None = 7) -> None:
        self.reads: list[tuple[str, Backend, ConnectionInfo, Exchange]] = []
        self.requests: list[RequestSnapshot] = []
        self.compared: list[tuple[int, Exchange]] = []
        self.skipped: list[Reason] = []
        self.discarded: list[tuple[int, Reason]] = []
        self._number = number

    def mirror(self, route: Route, decision: Decision, request: ServedRequest, receive: Receive) -> MirroredRequest:
        """Sample every request as a read."""
        return MirroredRead(self, route.name, request, receive, LIMIT)

    def mirror_direct(self, read: DirectRead) -> None:
        """Submit a read as the shadow process receives it."""
        [job] = CompareReads.of([read.answered(0, 0.0)]).jobs()
        self.submit_read(job.route, job.served, job.connection, job.exchange)

    def submit_read(self, route: str, served: Backend, connection: ConnectionInfo, exchange: Exchange) -> None:
        self.reads.append((route, served, connection, exchange))

    async def dry_run(self, route: str, request: RequestSnapshot) -> int | None:
        self.requests.append(request)
        return self._number

    def submit_legacy_answer(self, number: int, exchange: Exchange) -> None:
        self.compared.append((number, exchange))

    def discard(self, number: int, reason: Reason) -> None:
        self.discarded.append((number, reason))

    def skip(self, route: str, served: Backend, reason: Reason) -> None:
        self.skipped.append(reason)
