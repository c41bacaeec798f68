"""Play a recorded WebSocket conversation against a service: the same frames at a given pace."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from proxy.contract.payloads import parse_json
from proxy.recordings.model import OPEN
from proxy.recordings.raw_http import Origin
from proxy.types import JSON


@dataclass(frozen=True, slots=True)
class PlaybackPace:
    """Times in seconds: between two frames sent, for a frame to arrive, and for frames that should not arrive."""

    between: float = 0.03
    timeout: float = 3.0
    grace: float = 0.25


class HandshakeRefused(Exception):
    """The handshake failed; the message is the status, or `reset` or `hang` if none came."""


async def shake_hands(origin: Origin, target: str, timeout: float) -> str:
    """Return `open`, or the reason why the handshake failed. Raises OSError if nothing accepts the connection."""
    try:
        socket = await _connect(origin, target, timeout)
    except HandshakeRefused as refusal:
        return str(refusal)
    await socket.close()
    return OPEN


async def converse(origin: Origin, target: str, sent: Sequence[JSON], expected: int, pace: PlaybackPace) -> list[JSON]:
    """Return the frames received: JSON parsed, other text as it is, a binary frame as `{"$bytes": hex}`.

    Ends `pace.grace` seconds after the last of `expected` frames, after `pace.timeout` seconds without a frame, or when
    the service closes. Raises HandshakeRefused, and OSError if nothing accepts the connection.
    """
    socket = await _connect(origin, target, pace.timeout)
    received: list[JSON] = []
    try:
        for frame in sent:
            await socket.send(_frame(frame))
            await asyncio.sleep(pace.between)
        while True:
            async with asyncio.timeout(pace.timeout if len(received) < expected else pace.grace):
                received.append(_value(await socket.recv()))
    except (ConnectionClosed, TimeoutError):
        return received
    finally:
        await socket.close()


async def _connect(origin: Origin, target: str, timeout: float) -> ClientConnection:
    scheme = "wss" if origin.secure else "ws"
    url = f"{scheme}://{origin.authority}{origin.prefix}{target}"
    connected = asyncio.Event()

    class ObservedConnection(ClientConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connected.set()
            super().connection_made(transport)

    try:
        return await connect(
            url, create_connection=ObservedConnection, proxy=None, compression=None, max_size=None,
            max_queue=None, ping_interval=None,
            open_timeout=timeout, close_timeout=1, user_agent_header=None,
        )  # fmt: skip
    except InvalidStatus as refusal:
        raise HandshakeRefused(str(refusal.response.status_code)) from refusal
    except (InvalidMessage, EOFError, ConnectionResetError) as refusal:
        if not connected.is_set():
            raise  # a service that restarts resets the connections that it has not accepted
        raise HandshakeRefused("reset") from refusal
    except TimeoutError as refusal:
        raise HandshakeRefused("hang") from refusal


def _frame(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _value(frame: str | bytes) -> JSON:
    if isinstance(frame, bytes):
        return {"$bytes": frame.hex()}
    try:
        return parse_json(frame)
    except ValueError:
        return frame
