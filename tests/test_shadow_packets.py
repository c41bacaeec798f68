"""Messages that reach legacy in one packet are replayed to native as one packet.

Real parts: the demo's legacy on Node behind the gateway's relay, raw frames of a client, the native app.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from handlers.app import create_app
from handlers.settings import Settings
from proxy.backends.legacy.websocket import WebSocketUpstream
from proxy.comparison.conversation import RawConversation, read_conversation
from proxy.config.loading import parse
from proxy.reports.events import ComparisonEvent, Entry
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.conversation_comparator import ConversationComparator
from proxy.shadow.messages import CompareConversation, Configure
from tests.support.backend_pair import RunningBackend, legacy_backend
from tests.support.backends import NOWHERE, SECRET
from tests.support.conversations import ConversationRecorder, mirrored
from tests.support.patient_timings import PATIENT
from tests.support.shadowed_requests import CONNECTION
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_client import frame

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTRACTS: Final = Path(__file__).parents[1]
START: Final = '{"type":"start_recording","consultationId":"C-1"}'
STOP: Final = '{"type":"stop_recording"}'
ROUTING: Final = (
    f"{{legacy: {{url: '{NOWHERE}'}}, shadow: {{websocket: {{frame_timeout: 1s}}}},"
    " routes: [{name: stream, match: WS /transcription-stream}]}"
)


@dataclass(frozen=True)
class Shadow:
    """The demo's legacy, and the native app that replays conversations with it."""

    legacy: RunningBackend
    backends: ShadowBackends

    async def capture(self, packets: list[list[str]], answers: list[int]) -> tuple[RawConversation, list[Any]]:
        """Send each packet once legacy has answered the one before with that number of messages; return all of them."""
        sink = ConversationRecorder()
        upstream = WebSocketUpstream(f"http://{self.legacy.origin.authority}")
        async with serving(mirrored(upstream, sink)) as port:
            async with connect(f"ws://127.0.0.1:{port}/transcription-stream", compression=None, proxy=None) as socket:
                await socket.recv()
                received = []
                for packet, number in zip(packets, answers, strict=True):
                    socket.transport.write(b"".join(frame(1, each.encode()) for each in packet))
                    received += [json.loads(await socket.recv()) for _ in range(number)]
            return await sink.conversation(), received

    async def compare(self, raw: RawConversation) -> ComparisonEvent:
        events: list[Entry] = []
        job = CompareConversation(1, "stream", CONNECTION, raw, time.monotonic() + HANG_TIMEOUT)
        await ConversationComparator(self.backends, events.append).compare(job)
        (event,) = events
        assert isinstance(event, ComparisonEvent), event
        return event


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shadow(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shadow]:
    settings = Settings.load(
        mongodb_url=mongodb_url,
        database_name="packets",
        jwt_secret_key=SECRET,
        openai_api_key="sk-test",
        openai_base_url=NOWHERE,
        nhs_auth_url=NOWHERE,
        nhs_api_url=NOWHERE,
    )
    app = create_app(settings, PATIENT)
    async with (
        legacy_backend(mongodb_url, tmp_path_factory.mktemp("packets") / "legacy.log") as legacy,
        app.router.lifespan_context(app),
    ):
        backends = ShadowBackends(app)  # type: ignore[arg-type]
        await backends.apply_config(Configure(parse(ROUTING, {}), CONTRACTS))
        yield Shadow(legacy, backends)
        backends.close()


@pytest.mark.parametrize(
    ("packets", "answers", "kinds"),
    [
        ([["null", START]], [2], ["recording_started", "error"]),
        ([["null"], [START]], [1, 1], ["error", "recording_started"]),
        ([["null", START, "null", STOP]], [4], ["recording_started", "recording_stopped", "error", "error"]),
        ([[START, "null"], ["null", STOP]], [2, 2], ["recording_started", "error", "recording_stopped", "error"]),
    ],
)
async def test_error_of_null_follows_its_packet_in_a_replay(
    shadow: Shadow, packets: list[list[str]], answers: list[int], kinds: list[str]
) -> None:
    raw, received = await shadow.capture(packets, answers)
    assert [message["type"] for message in received] == kinds
    read = read_conversation(raw, 100)
    assert [each.ends_packet for each in read.sent] == [
        number == len(packet) for packet in packets for number in range(1, len(packet) + 1)
    ]
    event = await shadow.compare(raw)
    assert event.verdict.name == "match", event.verdict.differences
