"""A webhook that hears of what nobody should have to look for: a cap, a promotion, a file that was refused.

What is sent follows Standard Webhooks 1.0: `{"type": …, "timestamp": …, "data": {…}}` with `webhook-id`,
`webhook-timestamp` and, with a secret, `webhook-signature: v1,<base64 of HMAC-SHA256 over id.timestamp.body>`.
The same notice has the same id however often it is sent, so that a receiver can tell repetitions. Telling never waits
and never fails: notices queue, are tried again with growing pauses, and are given up, counted and logged, in the end.
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

from proxy.config.models import Config
from proxy.observability import metrics
from proxy.observability.webhook_formats import Format, message_body
from proxy.runtime.background_tasks import BackgroundTasks

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("scribe_proxy.notify")

RETRY_DELAYS: Final = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Seconds between one attempt and the next; after the last there is no other. About four hours in all."""
REQUEST_TIMEOUT: Final = 10.0
"""Seconds that a receiver may take."""
WAITING: Final = 256
"""How many notices may wait; the oldest give way."""

Type = Literal[
    "cap",
    "release",
    "promotion",
    "pause",
    "rollback",
    "share",
    "completed",
    "config_refused",
    "new_difference",
    "contract_drift",
    "difference_returned",
]
Result = Literal["delivered", "retried", "given_up"]


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """Something that happened. `data` is JSON, and holds nothing of any request's content."""

    type: Type
    data: Mapping[str, object]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def id(self) -> str:
        """The same for the same notice."""
        return f"msg_{hashlib.sha256(self.body()).hexdigest()[:32]}"

    def body(self) -> bytes:
        """As it is sent."""
        payload = {"type": self.type, "timestamp": self.at.isoformat(timespec="milliseconds"), "data": dict(self.data)}
        return json.dumps(payload, sort_keys=True, default=str).encode()


def sign(secret: str, id_: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`; `timestamp` is in seconds since the epoch."""
    signed = hmac.new(secret.encode(), f"{id_}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


class WebhookSender:
    """Sends notices to one URL, one after another. `counted` hears what became of each attempt."""

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
        self._waiting: deque[WebhookEvent] = deque(maxlen=WAITING)
        self._arrived = asyncio.Event()
        self._tasks = BackgroundTasks()

    def start(self) -> None:
        """Start to send; needs a running event loop."""
        self._tasks.start(self._run())

    async def stop(self) -> None:
        """Stop; queued events are dropped."""
        await self._tasks.stop()

    def publish(self, notice: WebhookEvent) -> None:
        """Never waits, never raises."""
        if len(self._waiting) == WAITING:
            self._counted("given_up")
        self._waiting.append(notice)
        self._arrived.set()

    async def _run(self) -> None:
        import httpx  # a quarter of a second, which a gateway without a webhook does not pay

        async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT, follow_redirects=False) as client:
            while True:
                await self._arrived.wait()
                while self._waiting:
                    await self._deliver(client, self._waiting.popleft())
                self._arrived.clear()

    async def _deliver(self, client: httpx.AsyncClient, notice: WebhookEvent) -> None:
        for pause in (*self._retry_delays, None):
            reason = await self._attempt(client, notice)
            if reason is None:
                self._counted("delivered")
                return
            if pause is None:
                break
            self._counted("retried")
            await asyncio.sleep(pause)
        self._counted("given_up")
        logger.error("webhook: the notice of a %s was given up: %s", notice.type, reason)

    async def _attempt(self, client: httpx.AsyncClient, notice: WebhookEvent) -> str | None:
        """Return the fault of an attempt, None for a delivery. The URL may hold secrets, so it is not part of it."""
        import httpx

        try:
            body = self._body(notice)
            answer = await client.post(self._url, content=body, headers=self._headers(notice, body))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__
        return None if answer.is_success else f"status {answer.status_code}"

    def _body(self, notice: WebhookEvent) -> bytes:
        if self._form == "standard":
            return notice.body()
        return message_body(self._form, notice.type, notice.data, self._ops_url)

    def _headers(self, notice: WebhookEvent, body: bytes) -> dict[str, str]:
        now = int(datetime.now(UTC).timestamp())
        headers = {"content-type": "application/json", "webhook-id": notice.id, "webhook-timestamp": str(now)}
        if self._secret:
            headers["webhook-signature"] = sign(self._secret, notice.id, now, body)
        return headers


class WebhookQueue:
    """The webhook that routing.yaml names, if it names one; another from the moment the file does."""

    def __init__(self, config: Config) -> None:
        self._config, self._ops_url = config.notify, config.ops.url
        self._webhook: WebhookSender | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def publish(self, notice: WebhookEvent) -> None:
        """Never waits, never raises; lost where there is no webhook."""
        if self._webhook is not None:
            self._webhook.publish(notice)

    async def start(self) -> None:
        self._open()

    async def stop(self) -> None:
        if self._webhook is not None:
            await self._webhook.stop()
        await asyncio.gather(*self._ending)

    def apply_config(self, config: Config) -> None:
        """Go on by a changed file."""
        if (config.notify, config.ops.url) == (self._config, self._ops_url):
            return
        self._config, self._ops_url = config.notify, config.ops.url
        if self._webhook is not None:
            ending = asyncio.create_task(self._webhook.stop())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        self._open()

    def _open(self) -> None:
        self._webhook = None
        if self._config is not None:
            url, secret = self._config.url.get_secret_value(), self._config.secret.get_secret_value()
            self._webhook = WebhookSender(
                url,
                secret,
                counted=lambda result: metrics.WEBHOOKS.labels(result).inc(),
                form=self._config.format,
                ops_url=self._ops_url,
            )
            self._webhook.start()
