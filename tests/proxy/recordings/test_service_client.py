"""Answers that are late, and answers that never come."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from starlette.types import Receive, Scope, Send

from proxy.recordings.model import RecordedRequest
from proxy.recordings.service_client import ServiceClient
from tests.support.sockets import serving

HANG_AFTER = 0.2
QUESTION = RecordedRequest("GET", "/question")


@dataclass
class Service:
    """A service that answers probes after `probe_time` seconds, and the question once it has, or never."""

    probe_time: float
    answers_question: bool
    probed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != QUESTION.target:
            await asyncio.sleep(self.probe_time)
            self.probed.set()
        elif self.answers_question:
            await self.probed.wait()
        else:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


@pytest.mark.parametrize(
    ("service", "outcome"),
    [
        (Service(HANG_AFTER / 2, answers_question=True), "response"),
        (Service(0.0, answers_question=False), "hang"),
        (Service(60.0, answers_question=False), "hang"),
    ],
    ids=["late", "never", "nothing at all"],
)
async def test_answer_after_the_timeout_is_waited_for_as_probes_take(service: Service, outcome: str) -> None:
    async with serving(service) as port:
        answer = await ServiceClient(f"http://127.0.0.1:{port}", HANG_AFTER).send(QUESTION)
    assert answer.outcome == outcome
