"""A recording as it is made: audio comes in pieces, goes to the model in portions, and comes back as text.

No sockets and no frames here: a `Recorder` is told what happens on one connection and tells what there is to
say, and the model is a function that it is given. What it keeps between two pieces:

    start -> Take: header | pieces ........ | text so far
                     \\________portion of 8__/   -> partial job --.
    stop  -> header and all pieces               -> final job ----+--> one at a time, in order -> tell

Whatever comes while the model is at work is taken in at once; only the model's calls wait for each other.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from handlers.failure_log import summary_of, trace_of
from handlers.services.model import ModelError, ModelRefusedError
from handlers.white_space import trim

PORTION: Final = 8
"""Pieces, after the header, that make a portion."""

LIMIT: Final = 25 * 1024 * 1024
"""Bytes of audio one connection may hold: the most that the model takes in one file."""

MOST_WAITING: Final = 32
"""Calls to the model that may wait on one connection."""

_PIECE_COST: Final = 64
_UNDECODABLE: Final = "could not be decoded"

logger = logging.getLogger(__name__)

Transcribe = Callable[[bytes, str], Awaitable[str]]
"""An audio file and its name -> what is said in it, or a `ModelError`."""


@dataclass(frozen=True)
class Transcribed:
    """Text: all of a recording so far, or (`final`) of the recording as a whole."""

    text: str
    final: bool


@dataclass(frozen=True)
class Interrupted:
    """The model fails; said once a recording."""


@dataclass(frozen=True)
class FinalFailed:
    """There will be no text of the recording as a whole."""


@dataclass(frozen=True)
class Stopped:
    """The recording is over, and so is everything there was to say about it."""


@dataclass(frozen=True)
class AudioLimitReached:
    """No more audio is kept; said once a recording."""


Event = Transcribed | Interrupted | FinalFailed | Stopped | AudioLimitReached
Tell = Callable[[Event], Awaitable[None]]


@dataclass(eq=False)
class _Recording:
    """One recording: the first piece is the file's header, which every portion needs before it."""

    header: bytes | None = None
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    text: str = ""
    complained: bool = False
    full: bool = False

    def add(self, piece: bytes) -> None:
        self.size += _cost(piece)
        if self.header is None:
            self.header = piece
        else:
            self.pieces.append(piece)

    def extend(self, text: str) -> None:
        self.text = f"{self.text} {text}" if self.text else text


@dataclass(frozen=True, eq=False)
class _Job:
    """A call to the model: the header and the pieces from `start` to `end` of a take."""

    take: _Recording
    start: int
    end: int
    final: bool

    def audio(self) -> bytes:
        return b"".join([self.take.header or b"", *self.take.pieces[self.start : self.end]])


class Recorder:
    """What one connection records. Call `close` when it ends: calls to the model are then cancelled.

    `identity` names the files that the model gets; `limit` is in bytes; `clock` gives milliseconds.
    """

    def __init__(
        self,
        identity: str,
        transcribe: Transcribe,
        tell: Tell,
        *,
        limit: int = LIMIT,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.recording = False
        self._identity = identity
        self._transcribe = transcribe
        self._tell = tell
        self._limit = limit
        self._clock = clock
        self._take = _Recording()
        self._jobs: deque[_Job] = deque()
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin a recording, with nothing of an earlier one; calls under way for that one go on."""
        self._take = _Recording()
        self.recording = True

    async def add(self, piece: bytes) -> None:
        """Take in a piece of audio; it counts only while recording, and only as far as the limit."""
        take = self._take
        if not self.recording or take.full:
            return
        if self._held() + _cost(piece) > self._limit:
            take.full = True
            await self._tell(AudioLimitReached())
            return
        take.add(piece)
        if take.pieces and len(take.pieces) % PORTION == 0:
            await self._submit(_Job(take, len(take.pieces) - PORTION, len(take.pieces), final=False))

    async def stop(self) -> None:
        """End the recording; its audio is kept until the next start, so that a second stop sends it again."""
        self.recording = False
        if self._take.pieces:
            await self._submit(_Job(self._take, 0, len(self._take.pieces), final=True))
        else:
            await self._tell(Stopped())

    async def close(self) -> None:
        """Forget everything and cancel the call under way."""
        self.recording = False
        self._take = _Recording()
        self._jobs.clear()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])

    def _held(self) -> int:
        """Bytes of audio that cannot be let go: this recording's, and those that a call still needs."""
        takes = {job.take for job in self._jobs} | {self._take}
        return sum(take.size for take in takes)

    async def _submit(self, job: _Job) -> None:
        if len(self._jobs) >= MOST_WAITING:
            await self._fail(job)
            return
        self._jobs.append(job)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    async def _work(self) -> None:
        """Do the jobs that there are, each kept in the queue until it is done."""
        try:
            while self._jobs:
                await self._finish(self._jobs[0])
        finally:
            self._worker = None

    async def _finish(self, job: _Job) -> None:
        try:
            await self._do(job)
        except Exception as error:
            logger.error("a transcription came to nothing: %s", trace_of(error))
        finally:
            if self._jobs:
                self._jobs.popleft()

    async def _do(self, job: _Job) -> None:
        prefix = "final" if job.final else "temp"
        try:
            heard = await self._transcribe(job.audio(), f"{prefix}-{self._identity}-{self._clock()}.webm")
        except ModelError as error:
            if job.final or not is_undecodable(error):
                logger.warning("transcription failed: %s", summary_of(error))
                await self._fail(job)
            return
        await self._pass_on(job, trim(heard))

    async def _pass_on(self, job: _Job, text: str) -> None:
        if job.final:
            await self._tell(Transcribed(text, final=True))
            await self._tell(Stopped())
        elif text:
            job.take.extend(text)
            await self._tell(Transcribed(job.take.text, final=False))

    async def _fail(self, job: _Job) -> None:
        if job.final:
            await self._tell(FinalFailed())
            await self._tell(Stopped())
        elif not job.take.complained:
            job.take.complained = True
            await self._tell(Interrupted())


def is_undecodable(error: ModelError) -> bool:
    """Whether the model could make nothing of the audio: common in a portion, and no fault of the service."""
    return isinstance(error, ModelRefusedError) and _UNDECODABLE in error.body


def _cost(piece: bytes) -> int:
    return len(piece) + _PIECE_COST
