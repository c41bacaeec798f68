"""The webhook with a real receiver: signed, retried, given up, and without an effect on requests."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from proxy.observability.webhook import MAX_QUEUED, WebhookEvent, WebhookSender
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.webhook_receiver import WebhookReceiver

SECRET = "a-secret-of-the-webhook"


@asynccontextmanager
async def sending(
    receiver: WebhookReceiver, secret: str = "", retry_delays: Sequence[float] = (0.01, 0.01)
) -> AsyncIterator[tuple[WebhookSender, Counter[str]]]:
    counted: Counter[str] = Counter()
    async with serving(receiver) as port:
        webhook = WebhookSender(
            f"http://127.0.0.1:{port}/hook?token=t",
            secret,
            counted=lambda result: counted.update([result]),
            retry_delays=retry_delays,
        )
        webhook.start()
        try:
            yield webhook, counted
        finally:
            await webhook.stop()


async def counting(counted: Counter[str], result: str, times: int = 1) -> None:
    async with asyncio.timeout(HANG_TIMEOUT):
        while counted[result] < times:
            await asyncio.sleep(0.005)


async def test_event_has_the_standard_webhooks_form() -> None:
    receiver = WebhookReceiver(204)
    async with sending(receiver) as (webhook, counted):
        webhook.publish(WebhookEvent("cap", {"route": "notes.create", "share": "0%"}))
        await counting(counted, "delivered")
    headers, body = receiver.received[0]
    event = json.loads(body)
    assert (event["type"], event["data"]) == ("cap", {"route": "notes.create", "share": "0%"})
    assert event["timestamp"].endswith("+00:00")
    assert headers["content-type"] == "application/json"
    assert "webhook-signature" not in headers


async def test_secret_signs_the_event() -> None:
    receiver = WebhookReceiver(200)
    async with sending(receiver, SECRET) as (webhook, counted):
        webhook.publish(WebhookEvent("promotion", {"route": "notes.create"}))
        await counting(counted, "delivered")
    headers, body = receiver.received[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_event_is_resent_under_its_id_until_delivered() -> None:
    receiver = WebhookReceiver(500, 503, 200)
    async with sending(receiver) as (webhook, counted):
        webhook.publish(WebhookEvent("rollback", {}))
        await counting(counted, "delivered")
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 1
    assert counted == {"retried": 2, "delivered": 1}


async def test_event_is_dropped_after_retries_and_the_next_is_sent() -> None:
    receiver = WebhookReceiver(500, 500, 500, 200)
    async with sending(receiver) as (webhook, counted):
        webhook.publish(WebhookEvent("cap", {"number": 1}))
        webhook.publish(WebhookEvent("cap", {"number": 2}))
        await counting(counted, "delivered")
    assert counted == {"retried": 2, "given_up": 1, "delivered": 1}


async def test_refused_connection_is_a_failed_attempt() -> None:
    counted: Counter[str] = Counter()
    webhook = WebhookSender(
        "http://127.0.0.1:1/", counted=lambda result: counted.update([result]), retry_delays=(0.01,)
    )
    webhook.start()
    webhook.publish(WebhookEvent("cap", {}))
    await counting(counted, "given_up")
    await webhook.stop()
    assert counted == {"retried": 1, "given_up": 1}


async def test_full_queue_drops_the_oldest_event() -> None:
    counted: Counter[str] = Counter()
    webhook = WebhookSender("http://127.0.0.1:1/", counted=lambda result: counted.update([result]))
    for number in range(MAX_QUEUED + 3):
        webhook.publish(WebhookEvent("cap", {"number": number}))
    assert counted == {"given_up": 3}
    await webhook.stop()
