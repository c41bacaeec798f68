"""Webhook events: each change of a share or its rollout, a refused routing.yaml, new differences.

Requests follow Standard Webhooks 1.0: `{"type": …, "timestamp": …, "data": {…}}` with the headers `webhook-id`,
`webhook-timestamp` and, if a secret is set, `webhook-signature: v1,<base64 of HMAC-SHA256 over id.timestamp.body>`.
All attempts of one event have the same id, so that a receiver can discard repetitions. Publishing never blocks and
never raises: events are queued and retried with growing delays; after the last attempt they are dropped, counted and
logged.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from common.background_tasks import BackgroundTasks
from proxy.config.models import Config
from proxy.observability import metrics
from proxy.observability.webhook_formats import Format, message_body

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("scribe_proxy.notify")

RETRY_DELAYS: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Seconds between two attempts, about four hours in all. After the last attempt the event is dropped."""
REQUEST_TIMEOUT: Final = 10.0
"""Timeout of one attempt, in seconds."""
MAX_QUEUED: Final = 256
"""Maximum number of queued events; beyond it, the oldest is dropped."""

Type = Literal[
    "start",
    "promotion",
    "gate",
    "pause",
    "resume",
    "cap",
    "rollback",
    "ack",
    "release",
    "share",
    "config_refused",
    "new_difference",
    "contract_drift",
    "difference_returned",
]
Result = Literal["delivered", "retried", "given_up"]


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """An event. `data` is JSON without content of any request."""

    type: Type
    data: Mapping[str, object]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def id(self) -> str:
        """The id of the event, derived from its body."""
        return f"msg_{hashlib.sha256(self.body()).hexdigest()[:32]}"

    def body(self) -> bytes:
        """Return the body of a Standard Webhooks request."""
        payload = {"type": self.type, "timestamp": self.at.isoformat(timespec="milliseconds"), "data": dict(self.data)}
        return json.dumps(payload, sort_keys=True, default=str).encode()


def sign(secret: str, id_: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`; `timestamp` is in seconds since the epoch."""
    signed = hmac.new(secret.encode(), f"{id_}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


class WebhookSender:
    """Queue of events for one URL, sent one after another. `counted` is called with the result of each attempt."""

    def __init__(
        self,
        url: str,
        secret: str = "",
        *,
        counted: Callable[[Result], None] = lambda _: None,
        retry_delays: Sequence[float] = RETRY_DELAYS,
        form: Format = "standard",
        ops_url: str = "",
    ) -> None:
        self._form, self._ops_url = form, ops_url
        self._url, self._secret = url, secret
        self._counted, self._retry_delays = counted, tuple(retry_delays)
        self._waiting: deque[WebhookEvent] = deque(maxlen=MAX_QUEUED)
        self._sending: WebhookEvent | None = None
        self._arrived = asyncio.Event()
        self._tasks = BackgroundTasks()

    def start(self) -> None:
        """Start sending; needs a running event loop."""
        self._tasks.start(self._run())

    async def stop(self) -> None:
        """Stop sending and drop queued events."""
        await self._tasks.stop()

    def take_undelivered(self) -> tuple[WebhookEvent, ...]:
        """Remove and return the events without a successful attempt, the one being sent first; call `stop` next."""
        events = (*(() if self._sending is None else (self._sending,)), *self._waiting)
        self._waiting.clear()
        return events

    def publish(self, event: WebhookEvent) -> None:
        """Queue an event. Never blocks and never raises."""
        if len(self._waiting) == MAX_QUEUED:
            self._counted("given_up")
        self._waiting.append(event)
        self._arrived.set()

    async def _run(self) -> None:
        import httpx  # takes 0.25 s: imported only if a webhook is configured

        async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT, follow_redirects=False) as client:
            while True:
                await self._arrived.wait()
                while self._waiting:
                    self._sending = self._waiting.popleft()
                    await self._deliver(client, self._sending)
                    self._sending = None
                self._arrived.clear()

    async def _deliver(self, client: httpx.AsyncClient, event: WebhookEvent) -> None:
        for pause in (*self._retry_delays, None):
            reason = await self._attempt(client, event)
            if reason is None:
                self._counted("delivered")
                return
            if pause is None:
                break
            self._counted("retried")
            await asyncio.sleep(pause)
        self._counted("given_up")
        logger.error("webhook: the event %s could not be delivered: %s", event.type, reason)

    async def _attempt(self, client: httpx.AsyncClient, event: WebhookEvent) -> str | None:
        """Return the error of a failed attempt, or None. It does not quote the URL, which may contain secrets."""
        import httpx

        try:
            body = self._body(event)
            answer = await client.post(self._url, content=body, headers=self._headers(event, body))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__
        return None if answer.is_success else f"status {answer.status_code}"

    def _body(self, event: WebhookEvent) -> bytes:
        if self._form == "standard":
            return event.body()
        return message_body(self._form, event.type, event.data, self._ops_url)

    def _headers(self, event: WebhookEvent, body: bytes) -> dict[str, str]:
        now = int(datetime.now(UTC).timestamp())
        headers = {"content-type": "application/json", "webhook-id": event.id, "webhook-timestamp": str(now)}
        if self._secret:
            headers["webhook-signature"] = sign(self._secret, event.id, now, body)
        return headers


class WebhookQueue:
    """The webhook of the configuration in force, if it has one."""

    def __init__(self, config: Config) -> None:
        self._config, self._ops_url = config.notify, config.ops.url
        self._webhook: WebhookSender | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def publish(self, event: WebhookEvent) -> None:
        """Queue an event; without a webhook it is dropped. Never blocks and never raises."""
        if self._webhook is not None:
            self._webhook.publish(event)

    async def start(self) -> None:
        self._open()

    async def stop(self) -> None:
        if self._webhook is not None:
            await self._webhook.stop()
        await asyncio.gather(*self._ending)

    def apply_config(self, config: Config) -> None:
        """Apply a changed configuration: a new sender gets the undelivered events if URL, format or secret changed."""
        if (config.notify, config.ops.url) == (self._config, self._ops_url):
            return
        self._config, self._ops_url = config.notify, config.ops.url
        undelivered: tuple[WebhookEvent, ...] = ()
        if self._webhook is not None:
            undelivered = self._webhook.take_undelivered()
            ending = asyncio.create_task(self._webhook.stop())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        self._open()
        for event in undelivered:
            self.publish(event)

    def _open(self) -> None:
        self._webhook = None
        if self._config is not None:
            url = self._config.url.get_secret_value()
            secret = self._config.secret.get_secret_value()
            self._webhook = WebhookSender(
                url,
                secret,
                counted=lambda result: metrics.WEBHOOKS.labels(result).inc(),
                form=self._config.format,
                ops_url=self._ops_url,
            )
            self._webhook.start()
