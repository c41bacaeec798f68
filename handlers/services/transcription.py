"""Recordings: audio arrives in chunks, is sent to the model in portions, and returns as text.

This module is independent of sockets and frames: a `Recorder` receives the events of one connection and emits events to
its client; the model is a function. The state between two chunks:

    start -> _Recording: header | chunks ..... | text so far
                     └──────portion of 8──────┘   -> partial job --.
    stop  -> header and all chunks               -> final job ----+--> one at a time, in order -> emit

Chunks are accepted while the model works; only calls to the model wait for each other.
"""

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from common.background_tasks import BackgroundTasks
from common.white_space import trim
from handlers.failure_log import summary_of, trace_of
from handlers.services.model import ModelError, ModelRefusedError
from handlers.yielding import join_bytes

PORTION: Final = 8
"""Chunks per portion, in addition to the header."""

LIMIT: Final = 25 * 1024 * 1024
"""Maximum bytes of audio per connection: the model's limit for one file."""

PARSING_COPIES: Final = 6
"""Memory for parsing a frame, as a multiple of its size: text, long string, audio and slices are held at once."""
_FRAME_MARGIN: Final = 64 * 1024

MAX_WAITING: Final = 32
"""Maximum calls to the model that may wait per connection."""

_CHUNK_OVERHEAD: Final = 64
UNDECODABLE: Final = "could not be decoded"
"""Part of the model's refusal of audio that it cannot decode."""
_PREFIXES: Final = ("temp", "final")

logger = logging.getLogger(__name__)

IsUndecodable = Callable[[ModelError], bool]
"""Return whether the model could not decode the audio: common for a portion, and not a failure of the service."""

Transcribe = Callable[[bytes, str], Awaitable[str]]
"""Return the text of an audio file with this name, or raise `ModelError`."""


class Memory(Protocol):
    """The memory budget of the process, as used by one connection. Sizes are in bytes."""

    def retain(self, size: int) -> bool:
        """Reserve bytes; return False if the server closes the connection instead."""

    def release(self, size: int) -> None:
        """Return bytes to the budget."""


class UnlimitedMemory:
    """The budget of a server without a limit."""

    def retain(self, size: int) -> bool:
        """Allow everything."""
        return True

    def release(self, size: int) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class ServerMemory:
    """The budget of the server's ASGI extension `proxy.memory`."""

    retain: Callable[[int], bool]
    release: Callable[[int], None]


def memory_of(scope: Mapping[str, Any]) -> Memory:
    """Return the budget of a connection's server."""
    extension = (scope.get("extensions") or {}).get("proxy.memory")
    return UnlimitedMemory() if extension is None else ServerMemory(extension["retain"], extension["release"])


def frame_limit(audio_limit: int) -> int:
    """Return the maximum characters or bytes of one frame: all the audio of a recording in base64, and its JSON."""
    return -(-audio_limit // 3) * 4 + _FRAME_MARGIN


@dataclass(frozen=True)
class Transcribed:
    """The text of a recording so far, or (`final`) of the complete recording."""

    text: str
    final: bool


@dataclass(frozen=True)
class Interrupted:
    """The model failed; emitted once per recording."""


@dataclass(frozen=True)
class FinalFailed:
    """The transcription of the complete recording failed."""


@dataclass(frozen=True)
class Stopped:
    """The recording has ended and all its events have been emitted."""


@dataclass(frozen=True)
class AudioLimitReached:
    """Further audio is discarded; emitted once per recording."""


Event = Transcribed | Interrupted | FinalFailed | Stopped | AudioLimitReached
Emit = Callable[[Event], Awaitable[None]]


@dataclass(eq=False)
class _Recording:
    """One recording: the first chunk is the file's header, which precedes every portion."""

    header: bytes | None = None
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    text: str = ""
    interruption_reported: bool = False
    full: bool = False

    def add(self, chunk: bytes) -> None:
        self.size += _cost(chunk)
        if self.header is None:
            self.header = chunk
        else:
            self.chunks.append(chunk)

    def extend(self, text: str) -> None:
        self.text = f"{self.text} {text}" if self.text else text


@dataclass(frozen=True, eq=False)
class _Job:
    """A call to the model: the header and the chunks from `start` to `end` of a recording."""

    recording: _Recording
    start: int
    end: int
    final: bool

    async def audio(self) -> bytes:
        return await join_bytes([self.recording.header or b"", *self.recording.chunks[self.start : self.end]])


def is_undecodable(error: ModelError) -> bool:
    """Return whether the model's refusal says that it could not decode the audio."""
    return isinstance(error, ModelRefusedError) and UNDECODABLE in error.body


class Recorder:
    """Records one connection. Call `close` when it ends: calls to the model are then cancelled.

    `identity` names the files for the model; `limit` is in bytes; `clock` gives milliseconds; the audio is
    entered in `memory`. A portion that `is_undecodable` is skipped without an event. `exclusion` is held while the
    events of a call are emitted.
    """

    def __init__(
        self,
        identity: str,
        transcribe: Transcribe,
        emit: Emit,
        *,
        limit: int = LIMIT,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        memory: Memory | None = None,
        is_undecodable: IsUndecodable = is_undecodable,
        exclusion: AbstractAsyncContextManager[None] | None = None,
    ) -> None:
        self.is_recording = False
        self._identity = identity
        self._transcribe = transcribe
        self._emit = emit
        self._limit = limit
        self._clock = clock
        self._memory = memory or UnlimitedMemory()
        self._is_undecodable = is_undecodable
        self._exclusion = exclusion or nullcontext()
        self._retained = 0
        self._current = _Recording()
        self._jobs: deque[_Job] = deque()
        self._is_working = False
        self._tasks = BackgroundTasks()

    def start(self) -> None:
        """Start a recording, independent of earlier ones, whose running calls continue."""
        self._current = _Recording()
        self._account()
        self.is_recording = True

    async def add(self, chunk: bytes) -> None:
        """Add a chunk of audio; ignored unless recording, or beyond the limit."""
        recording = self._current
        if not self.is_recording or recording.full:
            return
        if self._stored_bytes() + _cost(chunk) > self._limit:
            recording.full = True
            await self._emit(AudioLimitReached())
            return
        recording.add(chunk)
        if not self._account():
            recording.full = True
            return
        if recording.chunks and len(recording.chunks) % PORTION == 0:
            await self._submit(_Job(recording, len(recording.chunks) - PORTION, len(recording.chunks), final=False))

    async def stop(self) -> None:
        """Stop recording; the audio is stored until the next start, so that a second stop sends it again."""
        self.is_recording = False
        if self._current.chunks:
            await self._submit(_Job(self._current, 0, len(self._current.chunks), final=True))
        else:
            await self._emit(Stopped())

    async def close(self) -> None:
        """Discard the audio and cancel the running call."""
        self.is_recording = False
        self._current = _Recording()
        self._jobs.clear()
        self._account()
        await self._tasks.stop()

    def _account(self) -> bool:
        """Reserve the bytes held now; return False if the server closes the connection."""
        before, self._retained = self._retained, self._stored_bytes()
        if self._retained > before:
            return self._memory.retain(self._retained - before)
        if self._retained < before:
            self._memory.release(before - self._retained)
        return True

    def _stored_bytes(self) -> int:
        """Return the bytes of audio in memory: this recording's, and those of waiting calls."""
        recordings = {job.recording for job in self._jobs} | {self._current}
        return sum(recording.size for recording in recordings)

    async def _submit(self, job: _Job) -> None:
        if len(self._jobs) >= MAX_WAITING:
            await self._fail(job)
            return
        self._jobs.append(job)
        if not self._is_working:
            self._is_working = True
            self._tasks.start(self._work())

    async def _work(self) -> None:
        """Run the jobs, each of which stays in the queue until it is done."""
        try:
            while self._jobs:
                await self._finish(self._jobs[0])
        finally:
            self._is_working = False

    async def _finish(self, job: _Job) -> None:
        try:
            await self._do(job)
        except Exception as error:
            logger.error("a transcription failed unexpectedly: %s", trace_of(error))
        finally:
            if self._jobs:
                self._jobs.popleft()
                self._account()

    async def _do(self, job: _Job) -> None:
        prefix = _PREFIXES[job.final]
        try:
            text = await self._transcribe(await job.audio(), f"{prefix}-{self._identity}-{self._clock()}.webm")
        except ModelError as error:
            if job.final or not self._is_undecodable(error):
                logger.warning("transcription failed: %s", summary_of(error))
                async with self._exclusion:
                    await self._fail(job)
            return
        async with self._exclusion:
            await self._emit_text(job, trim(text))

    async def _emit_text(self, job: _Job, text: str) -> None:
        if job.final:
            await self._emit(Transcribed(text, final=True))
            await self._emit(Stopped())
        elif text:
            job.recording.extend(text)
            await self._emit(Transcribed(job.recording.text, final=False))

    async def _fail(self, job: _Job) -> None:
        if job.final:
            await self._emit(FinalFailed())
            await self._emit(Stopped())
        elif not job.recording.interruption_reported:
            job.recording.interruption_reported = True
            await self._emit(Interrupted())


def is_final(name: str) -> bool:
    """Return whether an audio file with this name is a complete recording."""
    return name.startswith(f"{_PREFIXES[True]}-")


def _cost(chunk: bytes) -> int:
    return len(chunk) + _CHUNK_OVERHEAD
