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
from typing import get_args

import pytest

from proxy.config.loading import parse
from proxy.config.models import Config
from proxy.observability.webhook import MAX_QUEUED, WebhookEvent, WebhookQueue, WebhookSender
from proxy.observability.webhook_formats import Format
from tests.support.sockets import read_head, scripted, serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.webhook_receiver import WebhookReceiver

SECRET = "a-secret-of-the-webhook"


@asynccontextmanager
async def sending(
    receiver: WebhookReceiver, secret: str = "", retry_delays: Sequence[float] = (0.01, 0.01), form: Format = "standard"
) -> AsyncIterator[tuple[WebhookSender, Counter[str]]]:
    counted: Counter[str] = Counter()
    async with serving(receiver) as port:
        webhook = WebhookSender(
            f"http://127.0.0.1:{port}/hook?token=t",
            secret,
            counted=lambda result: counted.update([result]),
            retry_delays=retry_delays,
            form=form,
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


@pytest.mark.parametrize("form", get_args(Format))
async def test_secret_signs_the_body_that_is_sent(form: Format) -> None:
    receiver = WebhookReceiver(200)
    async with sending(receiver, SECRET, form=form) as (webhook, counted):
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


@pytest.mark.parametrize(
    "answer", [b"Agnes\r\n\r\n", b"HTTP/1.1 200 OK\r\nAgnes\r\n\r\n", b"HTTP/1.1 500 Agnes\r\n\r\nAgnes"]
)
async def test_log_quotes_neither_url_nor_answer(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)

    counted: Counter[str] = Counter()
    async with scripted(script) as port:
        webhook = WebhookSender(
            f"http://127.0.0.1:{port}/{SECRET}", counted=lambda result: counted.update([result]), retry_delays=()
        )
        webhook.start()
        webhook.publish(WebhookEvent("cap", {}))
        await counting(counted, "given_up")
        await webhook.stop()
    [record] = [record for record in caplog.records if record.name.startswith("scribe_proxy")]
    assert record.getMessage().startswith("webhook: the event cap could not be delivered: ")
    assert "Agnes" not in record.getMessage()
    assert SECRET not in record.getMessage()


async def test_full_queue_drops_the_oldest_event() -> None:
    counted: Counter[str] = Counter()
    webhook = WebhookSender("http://127.0.0.1:1/", counted=lambda result: counted.update([result]))
    for number in range(MAX_QUEUED + 3):
        webhook.publish(WebhookEvent("cap", {"number": number}))
    assert counted == {"given_up": 3}
    await webhook.stop()


def notifying(port: int, ops_url: str, path: str = "hook", secret: str = "") -> Config:
    notify = f"{{url: 'http://127.0.0.1:{port}/{path}', format: slack, secret: '{secret}'}}"
    return parse(f"legacy: {{url: http://x}}\nops: {{url: '{ops_url}'}}\nnotify: {notify}\n", {})


async def test_changed_configuration_applies_to_the_next_event() -> None:
    receiver, event = WebhookReceiver(200), WebhookEvent("cap", {"route": "notes.create"})
    async with serving(receiver) as port:
        queue = WebhookQueue(notifying(port, "https://old.example"))
        await queue.start()
        for number, config in enumerate(
            (
                notifying(port, "https://old.example"),
                notifying(port, "https://new.example"),
                notifying(port, "https://new.example", secret=SECRET),
            ),
            start=1,
        ):
            queue.apply_config(config)
            queue.publish(event)
            await receiver.wait(number)
        queue.apply_config(parse("legacy: {url: http://x}\n", {}))
        queue.publish(event)
        await queue.stop()
    texts = [json.loads(body)["text"] for _, body in receiver.received]
    assert [text.rpartition("<")[2] for text in texts] == [
        f"https://{host}.example/routes/notes.create/live|Open>" for host in ("old", "new", "new")
    ]
    assert ["webhook-signature" in headers for headers, _ in receiver.received] == [False, False, True]


async def test_unchanged_webhook_keeps_its_events_at_a_reload() -> None:
    receiver = WebhookReceiver(200)
    async with serving(receiver) as port:
        queue = WebhookQueue(notifying(port, "https://ops.example"))
        await queue.start()
        for name in ("a", "b", "c"):
            queue.publish(WebhookEvent("cap", {"route": name}))
            queue.apply_config(notifying(port, "https://ops.example"))
        await receiver.wait(3)
        await queue.stop()
    assert [json.loads(body)["text"].partition(":")[0] for _, body in receiver.received] == ["a", "b", "c"]


async def test_undelivered_events_are_sent_to_a_corrected_url() -> None:
    wrong, receiver = WebhookReceiver(404), WebhookReceiver(200)
    async with serving(wrong) as refusing, serving(receiver) as port:
        queue = WebhookQueue(notifying(refusing, "https://ops.example"))
        await queue.start()
        for name in ("a", "b", "c"):
            queue.publish(WebhookEvent("cap", {"route": name}))
        await wrong.wait(1)  # the first event waits to be sent again, the others wait for it
        queue.apply_config(notifying(port, "https://ops.example"))
        await receiver.wait(3)
        await queue.stop()
    assert [json.loads(body)["text"].partition(":")[0] for _, body in receiver.received] == ["a", "b", "c"]
    assert len(wrong.received) == 1
