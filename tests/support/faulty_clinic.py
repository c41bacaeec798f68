"""Two backends of one made-up clinic: `legacy` is sound, `native` plants the fault whose number a path begins with.

`GET /3/notes` reads, and `PATCH /3/notes` writes: each backend then makes an id and a date of its own. A path without a
number has no fault. `native` is loaded by its import string, and declares that it supports dry runs.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final

from starlette.types import Receive, Scope, Send

from proxy.comparison.headers import entity_tag
from tests.support.lifespan import declare_dry_runs
from tests.support.planted_faults import Answer, PlantedFault, planted_faults, sound, with_generated

FAULTS: Final = tuple(planted_faults())
SOUND: Final = PlantedFault("nothing", lambda answer: None, frozenset())


async def legacy(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without a fault."""
    await _send(_answer(scope), send)


async def native(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the path's fault; in a dry run, report a write."""
    if scope["type"] == "lifespan":
        await declare_dry_runs(scope, receive, send)
        return
    dry_run = (scope.get("extensions") or {}).get("proxy.dry_run")
    if dry_run is not None:
        dry_run["report"]([{"collection": "notes", "operation": "update", "update": {"order": 1}}])
    answer = _answer(scope)
    _fault(scope).plant(answer)
    await _send(answer, send)


def _fault(scope: Scope) -> PlantedFault:
    number = scope["path"].split("/")[1]
    return FAULTS[int(number)] if number.isdecimal() else SOUND


def _answer(scope: Scope) -> Answer:
    answer = sound(_fault(scope).answer)
    if scope["method"] == "GET":
        return answer
    now = time.time()
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return with_generated(answer, f"{int(now):08x}{secrets.token_hex(8)}", f"{at}.{int(now * 1000) % 1000:03d}Z")


async def _send(answer: Answer, send: Send) -> None:
    body = answer.written()
    own = {"etag": entity_tag(body), "content-length": str(len(body)), "date": formatdate(usegmt=True)}
    headers = [(name.encode(), value.encode()) for name, value in (own | answer.headers).items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
