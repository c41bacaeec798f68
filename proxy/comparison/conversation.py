"""One WebSocket conversation, as relayed bytes and as the messages in them. Pure.

The gateway holds references to the bytes (`RawConversation`); the shadow process parses them into a `Conversation`.
Both record how much each end had received when it sent a message. Such positions can be compared between backends,
unlike times.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, TypeAlias

from starlette.types import Message, Scope

from proxy.comparison.exchange import Exchange, ExchangeRecorder
from proxy.websocket.inflation import InflatingReader, InflationLimitError, read_deflate
from proxy.websocket.messages import Closed, MessageReader, PingReceived, ProtocolViolation
from proxy.websocket.packets import PACKET_SIZE

Data: TypeAlias = str | bytes
"""A message: text, or bytes of a binary frame."""

ABNORMAL: Final = 1006
"""The close code of an end without a close frame (RFC 6455 §7.4.1)."""
CHUNK_COST: Final = 128
"""Bytes added to the size of each chunk, so that a stream of single bytes is bounded too."""
_EXTENSIONS: Final = b"sec-websocket-extensions"


class Chunk(NamedTuple):
    """Bytes that one end sent at once; empty for the end of its stream. `at`: monotonic seconds."""

    from_client: bool
    at: float
    data: bytes

    @property
    def cost(self) -> int:
        """Return the number of bytes that count for it."""
        return len(self.data) + CHUNK_COST

    def __repr__(self) -> str:
        return f"Chunk({'client' if self.from_client else 'server'}, {len(self.data)})"


class RawConversation(NamedTuple):
    """The handshake and all bytes after it; `opened` is its answer's time in monotonic seconds."""

    handshake: Exchange
    opened: float
    chunks: Sequence[Chunk]

    def __repr__(self) -> str:
        return f"RawConversation({self.handshake.status}, {len(self.chunks)} chunks)"

    @property
    def size(self) -> int:
        """Return the number of bytes that are held."""
        return self.handshake.size + sum(len(chunk.data) for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """A message of the client, sent after `received` messages of the server; `at`: seconds since the handshake.

    `ends_packet`: False if another message of the client, its close frame or its violation arrived together with it.
    """

    data: Data = field(repr=False)
    received: int
    at: float = 0.0
    ends_packet: bool = True


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """A message of the server; `after`: number of client messages before it; `at`: seconds since the handshake."""

    data: Data = field(repr=False)
    after: int
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a conversation: who closed first, the close frame's code and reason, and the position.

    The code is 1005 if the frame had none, 1006 if there was no close frame.
    """

    by: Literal["client", "server"]
    code: int
    reason: str = field(repr=False, default="")
    after: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """The handshake as an HTTP exchange (status 101 if it was accepted), and the messages of both ends.

    The handshake has no extensions, because they concern only the connection.

    `ending`: None if the record stops before the end. `violation`: the code with which a server closes if the client
    broke the protocol after its last message (RFC 6455 §7.4.1), otherwise None.
    """

    handshake: Exchange
    sent: tuple[ClientMessage, ...] = ()
    received: tuple[ServerMessage, ...] = ()
    ending: Ending | None = None
    violation: int | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the handshake was accepted."""
        return self.handshake.outcome == "response" and self.handshake.status == 101


class ConversationTooLargeError(ValueError):
    """A conversation has more messages, or larger ones, than are compared."""


class UnreadableConversationError(ValueError):
    """The frames use an extension other than permessage-deflate, or the server broke the protocol."""


class HandshakeRecorder:
    """Records the answer to a handshake as an HTTP answer; call `sent` for each ASGI message of the backend."""

    def __init__(self, scope: Scope, limit: int) -> None:
        self._recorder = ExchangeRecorder({**scope, "method": "GET"}, limit)
        self.opened = 0.0
        """The time of the acceptance in monotonic seconds; 0 before."""

    @property
    def answered(self) -> bool:
        """Return whether the whole answer has passed."""
        return self._recorder.answered

    def sent(self, message: Message) -> None:
        """Record a message of the backend; messages after the answer are not part of the handshake."""
        kind = message["type"]
        if self.answered:
            return
        if kind == "websocket.accept":
            self.opened = time.monotonic()
            subprotocol = message.get("subprotocol")
            chosen = [(b"sec-websocket-protocol", subprotocol.encode("latin-1"))] if subprotocol else []
            self._answer(101, [*chosen, *message.get("headers", ())])
        elif kind == "websocket.close":
            self._answer(403, [])  # an ASGI server's answer to a close before an acceptance
        elif kind.startswith("websocket.http.response."):
            self._recorder.sent({**message, "type": kind.removeprefix("websocket.")})

    def exchange(self, failure: str | None = None) -> Exchange:
        """Return the handshake; `failure` is the code of an `errors.Failure` that the backend raised, if it did."""
        return self._recorder.exchange(failure)

    def _answer(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._recorder.sent({"type": "http.response.start", "status": status, "headers": headers})
        self._recorder.sent({"type": "http.response.body"})


def split_chunks(chunks: Sequence[Chunk], size: int) -> Iterator[list[Chunk]]:
    """Yield the chunks in order, in groups of at most `size` counted bytes; a larger chunk is divided.

    It is divided at the ends of packets, if `size` has room for one.
    """
    part: list[Chunk] = []
    room = size
    for chunk in _divided(chunks, max(1, size - CHUNK_COST)):
        if part and chunk.cost > room:
            yield part
            part, room = [], size
        part.append(chunk)
        room -= chunk.cost
    if part:
        yield part


def _divided(chunks: Sequence[Chunk], size: int) -> Iterator[Chunk]:
    size -= size % PACKET_SIZE if size > PACKET_SIZE else 0
    for chunk in chunks:
        yield chunk._replace(data=chunk.data[:size])
        for at in range(size, len(chunk.data), size):
            yield chunk._replace(data=chunk.data[at : at + size])


def read_conversation(raw: RawConversation, max_messages: int) -> Conversation:
    """Return the messages of a conversation, however its bytes were split.

    Raises:
        ConversationTooLargeError: it has more than `max_messages` messages, or they are too large once inflated.
        UnreadableConversationError: its frames cannot be read.
    """
    handshake = raw.handshake
    extensions = [value.decode("latin-1") for name, value in handshake.headers if name == _EXTENSIONS]
    headers = tuple(header for header in handshake.headers if header[0] != _EXTENSIONS)
    reader = _ConversationReader(raw, max_messages, _readers(raw.size, ",".join(extensions)))
    try:
        for chunk in raw.chunks:
            reader.read(chunk)
    except InflationLimitError as error:
        raise ConversationTooLargeError from error
    return replace(reader.conversation(), handshake=handshake._replace(headers=headers))


def _readers(size: int, extensions: str) -> tuple[MessageReader, MessageReader]:
    """Return the readers of the client's and of the server's frames, by the extensions that they agreed on."""
    if not extensions:
        return MessageReader(size), MessageReader(size, masked=False)
    parameters = read_deflate(extensions)
    if parameters is None:
        raise UnreadableConversationError
    client = InflatingReader(size, masked=True, retains_context="client_no_context_takeover" not in parameters)
    server = InflatingReader(size, masked=False, retains_context="server_no_context_takeover" not in parameters)
    return client, server


class _ConversationReader:
    def __init__(self, raw: RawConversation, max_messages: int, readers: tuple[MessageReader, MessageReader]) -> None:
        self._raw, self._max_messages = raw, max_messages
        self._client, self._server = readers
        self._sent: list[ClientMessage] = []
        self._received: list[ServerMessage] = []
        self._ending: Ending | None = None
        self._violation: int | None = None

    def read(self, chunk: Chunk) -> None:
        """Read the messages that end in a chunk; data after the first close are ignored."""
        at = chunk.at - self._raw.opened
        if self._ending is not None:
            return
        if not chunk.data:
            self._end(chunk.from_client, Closed(ABNORMAL), at)
        elif chunk.from_client:
            self._read_client(chunk.data, at)
        else:
            self._read_server(chunk.data, at)
        if len(self._sent) + len(self._received) > self._max_messages:
            raise ConversationTooLargeError

    def conversation(self) -> Conversation:
        return Conversation(
            self._raw.handshake, tuple(self._sent), tuple(self._received), self._ending, self._violation
        )

    def _read_client(self, data: bytes, at: float) -> None:
        for start in range(0, len(data), PACKET_SIZE):
            if self._violation is None and self._ending is None:
                self._read_packet(data[start : start + PACKET_SIZE], at)

    def _read_packet(self, data: bytes, at: float) -> None:
        """Read bytes of the client that legacy received together, since the relay passes on what it receives."""
        before = len(self._sent)
        try:
            for message in self._messages(self._client, data, at):
                self._sent.append(ClientMessage(message, len(self._received), at, ends_packet=False))
        except ProtocolViolation as violation:
            self._violation = violation.code
        if len(self._sent) > before and self._violation is None and self._ending is None:
            self._sent[-1] = replace(self._sent[-1], ends_packet=True)

    def _read_server(self, data: bytes, at: float) -> None:
        try:
            for message in self._messages(self._server, data, at):
                self._received.append(ServerMessage(message, len(self._sent), at))
        except ProtocolViolation as violation:
            raise UnreadableConversationError from violation

    def _messages(self, end: MessageReader, data: bytes, at: float) -> Iterator[Data]:
        """Yield the messages of one end that are complete, and record its close."""
        for event in end.feed(data):
            if isinstance(event, Closed):
                self._end(end is self._client, event, at)
            elif not isinstance(event, PingReceived):
                yield event

    def _end(self, from_client: bool, closed: Closed, at: float) -> None:
        if self._ending is None:
            by: Literal["client", "server"] = "client" if from_client else "server"
            self._ending = Ending(by, closed.code, closed.reason, len(self._sent), at)
