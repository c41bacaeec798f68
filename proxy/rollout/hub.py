"""Share states among a gateway's workers without a MongoDB: the supervisor stores them.

    worker ── HubStore ──┐                      ┌── StateHub ── Memory        in the supervisor, until it ends
    worker ── HubStore ──┴── Unix socket, 0700 ─┘

A change by one worker is sent to the others before it is confirmed, so it is in force in every worker that answers
within `apply_timeout`. A replacement worker reads all states at its start.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, TypeVarTuple

from common.background_tasks import BackgroundTasks
from common.failure_trace import trace_of
from proxy.database.database import Unavailable
from proxy.rollout.analysis.window import RequestStats
from proxy.rollout.fleet import ProcessSnapshot
from proxy.rollout.model import ENTIRE_HISTORY, AnnouncedConfig, AuditEntry, Evidence, HistoryQuery, RouteState
from proxy.rollout.store import MemoryStore
from proxy.runtime.message_channel import MessageChannel

logger = logging.getLogger("scribe_proxy.state")

MAX_BATCH: Final = 16 << 20
"""Maximum bytes of one batch of messages; a history of a thousand changes takes less than one MiB."""
MAX_UNAPPLIED: Final = 1000
"""Maximum unapplied changes of a worker; beyond that it is disconnected, and reads all states again."""
CALL_TIMEOUT: Final = 3.0
"""Seconds after which an unresponsive supervisor counts as unreachable."""
APPLY_TIMEOUT: Final = 1.0
"""Maximum seconds that a change waits for the other workers."""
FOLLOW: Final = "follow"
METHODS: Final = frozenset(name for name, member in vars(MemoryStore).items() if inspect.iscoroutinefunction(member))

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a store method in the supervisor; `follow` subscribes to changes."""

    number: int
    method: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a call, or the name of the error it raised."""

    number: int
    value: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A state that another worker has changed."""

    number: int
    state: RouteState


@dataclass(frozen=True, slots=True)
class Applied:
    """The worker has applied the change with that number."""

    number: int


ToHub = Call | Applied
ToWorker = Reply | Changed


class StateHub:
    """Server in the supervisor: a thread that answers the workers' calls on a Unix socket.

    `apply_timeout`: seconds that a change waits for the other workers. `max_unapplied`: changes of a worker beyond
    which it is disconnected. `max_batch`: bytes of one batch of messages.
    """

    def __init__(
        self,
        path: Path,
        *,
        apply_timeout: float = APPLY_TIMEOUT,
        max_unapplied: int = MAX_UNAPPLIED,
        max_batch: int = MAX_BATCH,
    ) -> None:
        self.max_unapplied: Final = max_unapplied
        self.max_batch: Final = max_batch
        self.tasks: Final = BackgroundTasks()
        self._apply_timeout: Final = apply_timeout
        self._path: Final = path
        self._loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self._run, name="state-hub", daemon=True)
        self._stopping: Final = asyncio.Event()
        self._memory: Final = MemoryStore()
        self._clients: set[_Client] = set()
        self._listener: socket.socket

    def start(self) -> None:
        """Listen on the socket. Raises OSError."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._path.chmod(0o600)
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; connected workers see the connection close."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(5)
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self.tasks.start(self._accept())
        await self._stopping.wait()
        for client in tuple(self._clients):
            client.channel.close()
        await self.tasks.stop()
        self._listener.close()

    async def _accept(self) -> None:
        while True:
            connection, _ = await self._loop.sock_accept(self._listener)
            client = _Client(self)
            await client.channel.open(connection)
            self._clients.add(client)
            self.tasks.start(self._forget(client))

    async def _forget(self, client: _Client) -> None:
        await client.channel.closed.wait()
        self._clients.discard(client)
        client.abandon()

    async def call(self, client: _Client, call: Call) -> Any:
        """Execute a worker's call; a change is confirmed once the other workers have applied it."""
        if call.method == FOLLOW:
            client.following = True
            return None
        if call.method not in METHODS:
            raise ValueError(call.method)
        result = await getattr(self._memory, call.method)(*call.arguments)
        if call.method == "replace" and result:
            await self._spread(client, call.arguments[0])
        return result

    async def _spread(self, origin: _Client, state: RouteState) -> None:
        others = [client.apply(state) for client in self._clients if client is not origin and client.following]
        if others:
            await asyncio.wait(others, timeout=self._apply_timeout)


class _Client:
    """One worker's connection, in the supervisor."""

    def __init__(self, hub: StateHub) -> None:
        self.following = False
        self.channel: Final[MessageChannel[ToHub, ToWorker]] = MessageChannel(self._receive, max_batch=hub.max_batch)
        self._hub: Final = hub
        self._numbers: Final = itertools.count()
        self._unapplied: dict[int, asyncio.Future[None]] = {}

    def apply(self, state: RouteState) -> asyncio.Future[None]:
        """Send a change; the future completes once the worker has applied it or disconnected."""
        number = next(self._numbers)
        applied = asyncio.get_running_loop().create_future()
        self._unapplied[number] = applied
        self.channel.send(Changed(number, state), urgent=True)
        if len(self._unapplied) > self._hub.max_unapplied:
            self.channel.close()
        return applied

    def abandon(self) -> None:
        """Complete all futures of a disconnected worker."""
        for applied in self._unapplied.values():
            applied.set_result(None)
        self._unapplied = {}

    def _receive(self, message: ToHub) -> None:
        if isinstance(message, Call):
            self._hub.tasks.start(self._answer(message))
        elif (applied := self._unapplied.pop(message.number, None)) is not None:
            applied.set_result(None)

    async def _answer(self, call: Call) -> None:
        try:
            reply = Reply(call.number, await self._hub.call(self, call))
        except Exception as error:
            logger.error("%s failed: %s", call.method, trace_of(error))
            reply = Reply(call.number, error=type(error).__name__)
        self.channel.send(reply, urgent=True)


class HubStore:
    """Client of the supervisor's store, one per worker. Every coroutine may raise `Unavailable`."""

    shared = False

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._numbers: Final = itertools.count()
        self._connecting: Final = asyncio.Lock()
        self._channel: MessageChannel[ToWorker, ToHub] | None = None
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._changes: asyncio.Queue[Changed | None] = asyncio.Queue()

    async def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.close()
            await self._channel.closed.wait()

    async def now(self) -> float:
        return await self._call(MemoryStore.now)

    async def states(self) -> dict[str, RouteState]:
        return await self._call(MemoryStore.states)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[AsyncIterator[RouteState]]:
        channel = await self._connected()
        self._changes = asyncio.Queue()
        await self.request(FOLLOW)
        yield self._followed(channel, self._changes)

    async def state(self, key: str) -> RouteState | None:
        return await self._call(MemoryStore.state, key)

    async def replace(self, after: RouteState) -> bool:
        return await self._call(MemoryStore.replace, after)

    async def record(self, change: AuditEntry) -> None:
        await self._call(MemoryStore.record, change)

    async def claim(self, state: RouteState, owner: str) -> bool:
        return await self._call(MemoryStore.claim, state, owner)

    async def history(self, limit: int, query: HistoryQuery = ENTIRE_HISTORY) -> tuple[AuditEntry, ...]:
        return await self._call(MemoryStore.history, limit, query)

    async def announce(self, config: AnnouncedConfig) -> AnnouncedConfig | None:
        return await self._call(MemoryStore.announce, config)

    async def add(self, evidence: Mapping[str, Evidence]) -> None:
        await self._call(MemoryStore.add, dict(evidence))

    async def evidence(self, epochs: Collection[str]) -> dict[str, Evidence]:
        return await self._call(MemoryStore.evidence, tuple(epochs))

    async def publish(self, snapshot: ProcessSnapshot) -> None:
        await self._call(MemoryStore.publish, snapshot)

    async def snapshots(self) -> tuple[ProcessSnapshot, ...]:
        return await self._call(MemoryStore.snapshots)

    async def set_baselines(self, baselines: Mapping[str, RequestStats]) -> None:
        """Do nothing: each worker's RouteStats retains the baselines for its lifetime."""

    async def baselines(self) -> dict[str, RequestStats]:
        return {}

    async def _followed(
        self, channel: MessageChannel[ToWorker, ToHub], changes: asyncio.Queue[Changed | None]
    ) -> AsyncIterator[RouteState]:
        closing = asyncio.create_task(_end(channel, changes))
        try:
            while (changed := await changes.get()) is not None:
                yield changed.state  # the caller requests the next state when it has applied this one
                channel.send(Applied(changed.number), urgent=True)
            raise Unavailable("the supervisor has closed the connection")
        finally:
            closing.cancel()

    async def _call(self, method: Callable[[MemoryStore, *Ts], Awaitable[T]], *arguments: *Ts) -> T:
        """Return the result of a store's method in the supervisor."""
        result: T = await self.request(method.__name__, *arguments)
        return result

    async def request(self, method: str, *arguments: Any) -> Any:
        channel = await self._connected()
        number = next(self._numbers)
        reply = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        channel.send(Call(number, method, arguments), urgent=True)
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                return await reply
        except TimeoutError:
            raise Unavailable("the supervisor does not answer") from None
        finally:
            self._replies.pop(number, None)

    async def _connected(self) -> MessageChannel[ToWorker, ToHub]:
        async with self._connecting:
            if self._channel is None or self._channel.closed.is_set():
                self._channel = await self._connect()
            return self._channel

    async def _connect(self) -> MessageChannel[ToWorker, ToHub]:
        connection = socket.socket(socket.AF_UNIX)
        channel: MessageChannel[ToWorker, ToHub] = MessageChannel(self._receive, max_batch=MAX_BATCH)
        try:
            connection.connect(str(self._path))  # a local socket accepts or refuses immediately
            await channel.open(connection)
        except OSError as error:
            connection.close()
            raise Unavailable(f"the supervisor cannot be reached ({error.strerror})") from None
        return channel

    def _receive(self, message: ToWorker) -> None:
        if isinstance(message, Changed):
            self._changes.put_nowait(message)
            return
        reply = self._replies.get(message.number)
        if reply is None or reply.done():
            return
        if message.error is None:
            reply.set_result(message.value)
        else:
            reply.set_exception(Unavailable(f"the supervisor failed with {message.error}"))


async def _end(channel: MessageChannel[ToWorker, ToHub], changes: asyncio.Queue[Changed | None]) -> None:
    """Mark the end of the changes once the channel is closed."""
    await channel.closed.wait()
    changes.put_nowait(None)
