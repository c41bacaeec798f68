"""The same fault, planted in the native app, has the same differences in the shadow and in `verify`.

Real parts: the demo's legacy on Node, the native app, one MongoDB. A read and a write are recorded from the legacy and
verified against native; then both go through the shadow's comparator, the write as a dry run.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.app import create_app
from handlers.settings import Settings
from proxy.comparison.headers import entity_tag
from proxy.comparison.verdicts import Verdict
from proxy.config.loading import parse
from proxy.recordings.model import Recordings, scenario
from proxy.recordings.player import Player
from proxy.recordings.recorder import Recorder, Script
from proxy.reports.events import ComparisonEvent, Entry
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.comparator import Comparator
from proxy.shadow.dry_run import DryRunExchange
from proxy.shadow.messages import CompareRead, Configure, RequestSnapshot
from proxy.types import JSON
from tests.differential.people import TOKEN
from tests.support.backend_pair import Outside, RunningBackend, legacy_backend
from tests.support.backends import SECRET
from tests.support.clinic import CONSULTATION, DOCUMENTS, NOTE
from tests.support.outside_services import lasting
from tests.support.patient_timings import PATIENT
from tests.support.planted_faults import Answer, compact
from tests.support.profile import spread
from tests.support.shadowed_requests import CONNECTION
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUTHORIZED: Final = (b"authorization", f"Bearer {TOKEN}".encode())
READ: Final = ("GET", f"/api/notes/{CONSULTATION}", None)
WRITE: Final[tuple[str, str, JSON]] = ("PATCH", f"/api/notes/{NOTE}", {"body": "other"})
Change = Callable[[Any], None]


class Breaking:
    """The native app, whose JSON answers a fault changes; a tag and a length are those of the changed body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.fault: Callable[[Answer], None] = lambda answer: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}

        async def change(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            headers = {name.decode(): value.decode() for name, value in start["headers"]}
            answer = Answer(json.loads(message["body"]), start["status"], headers)
            answer.headers.pop("etag")
            self.fault(answer)
            body = answer.written()
            answer.headers["content-length"] = str(len(body))
            answer.headers.setdefault("etag", entity_tag(body))
            sent = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
            await send({**start, "status": answer.status, "headers": sent})
            await send({**message, "body": body})

        await self._app(scope, receive, change)


@dataclass(frozen=True)
class FaultyPair:
    """Both backends on one database, and the shadow's view of them."""

    legacy: RunningBackend
    native: Breaking
    native_url: str
    backends: ShadowBackends

    def plant(self) -> None:
        """Reset the documents; no date is left to a default of the moment."""
        dates = dict.fromkeys(("created_at", "updated_at", "started_at"), datetime(2026, 1, 2, 3, 4, 5, 120_000))
        for name, documents in DOCUMENTS.items():
            self.legacy.database[name].delete_many({})
            self.legacy.database[name].insert_many([{**document, **dates} for document in documents])

    async def verify(self) -> list[set[tuple[str, str]]]:
        """Record read and write from legacy without a fault, then play them against native."""
        steps: list[JSON] = [_step(*each) for each in (READ, WRITE)]
        self.plant()
        recorded = await Recorder(_url(self.legacy)).record(Script.read({"scenario": "notes", "steps": steps}))
        self.plant()
        report = await Player(self.native_url).play(Recordings((scenario(recorded),)))
        return [_unexplained(one.differences) for one in report.results]

    async def shadow(self) -> list[set[tuple[str, str]]]:
        """Compare a read and a dry run as the shadow process does."""
        self.plant()
        events: list[Entry] = []
        comparator = Comparator(self.backends, events.append)
        await self._compare_read(comparator)
        await self._compare_dry_run(comparator)
        return [_unexplained(one.verdict.differences) for one in events if isinstance(one, ComparisonEvent)]

    async def _compare_read(self, comparator: Comparator) -> None:
        served = await self.backends.fetch("legacy", "all", _request(*READ), self.backends.bounds())
        assert not isinstance(served, str)
        job = CompareRead(1, "all", "legacy", CONNECTION, served, time.monotonic() + HANG_TIMEOUT)
        verdicts: list[Verdict] = []
        await comparator.compare_read(job, verdicts.append)
        assert verdicts[0].reason is None

    async def _compare_dry_run(self, comparator: Comparator) -> None:
        request, dry_run = _request(*WRITE), DryRunExchange()
        native = await self.backends.dry_run(dry_run, "all", request, self.backends.bounds())
        legacy = await self.backends.fetch("legacy", "all", request, self.backends.bounds())
        assert not isinstance(native, str)
        assert not isinstance(legacy, str)
        verdict = await comparator.compare_dry_run("all", request, legacy, native, dry_run.writes)
        assert verdict.reason is None


def _url(backend: RunningBackend) -> str:
    return f"http://{backend.origin.authority}"


def _step(method: str, path: str, body: JSON) -> JSON:
    headers: JSON = {"authorization": f"Bearer {TOKEN}"}
    sent: dict[str, JSON] = {} if body is None else {"json": body}
    return {"name": method, "request": {"method": method, "path": path, "headers": headers, **sent}}


def _request(method: str, path: str, body: JSON) -> RequestSnapshot:
    sent = b"" if body is None else compact(body)
    described = (AUTHORIZED, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(sent)))
    return RequestSnapshot(method, path.encode(), described if sent else (AUTHORIZED,), sent, CONNECTION)


def _unexplained(differences: Any) -> set[tuple[str, str]]:
    """Return fields and kinds, those of the read's list and of the written note under one name."""
    return {(one.field.replace("body.notes.*", "body.note"), one.kind) for one in differences}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FaultyPair]:
    directory, outside = tmp_path_factory.mktemp("planted"), Outside()
    async with legacy_backend(mongodb_url, directory / "legacy.log") as legacy, lasting(outside) as port:
        app = create_app(_settings(mongodb_url, legacy.database.name, f"http://127.0.0.1:{port}"), PATIENT)
        async with app.router.lifespan_context(app):
            native = Breaking(app)
            async with serving(native) as native_port:
                backends = ShadowBackends(native)  # type: ignore[arg-type]
                await backends.apply_config(Configure(parse(_routing(_url(legacy)), {}), Path("nowhere")))
                yield FaultyPair(legacy, native, f"http://127.0.0.1:{native_port}", backends)
                backends.close()


def _routing(url: str) -> str:
    return f"{{legacy: {{url: '{url}'}}, shadow: {{noise: 0%}}, routes: [{{name: all, match: '* /*'}}]}}"


def _settings(mongodb_url: str, database: str, outside: str) -> Settings:
    return Settings.load(
        mongodb_url=mongodb_url,
        database_name=database,
        jwt_secret_key=SECRET,
        openai_api_key="sk-test",
        openai_base_url=f"{outside}/v1",
        nhs_auth_url=f"{outside}/token",
        nhs_api_url=f"{outside}/",
    )


def in_note(change: Change) -> Callable[[Answer], None]:
    """Return a fault in the note: the first of a list, or the one that a write answers with."""

    def plant(answer: Answer) -> None:
        change(answer.value["notes"][0] if "notes" in answer.value else answer.value["note"])

    return plant


def renamed(note: dict[str, Any]) -> None:
    note["text"] = note.pop("body")


def respelled(note: dict[str, Any]) -> None:
    note["created_at"] = note["created_at"].replace("Z", "000+00:00")


def reordered(note: dict[str, Any]) -> None:
    note["_id"] = note.pop("_id")


def spaced(answer: Answer) -> None:
    answer.body = json.dumps(answer.value, ensure_ascii=False).encode()


def cut_short(answer: Answer) -> None:
    answer.body = answer.written()[:-9]


FAULTS: Final[dict[str, tuple[Callable[[Answer], None], set[tuple[str, str]]]]] = {
    "none": (lambda answer: None, set()),
    "rename": (in_note(renamed), {("body.note.body", "missing"), ("body.note.text", "extra")}),
    "type": (in_note(lambda note: note.update(body=7)), {("body.note.body", "type")}),
    "missing": (in_note(lambda note: note.pop("transcript")), {("body.note.transcript", "missing")}),
    "null": (in_note(lambda note: note.update(middle=None)), {("body.note.middle", "extra")}),
    "date": (in_note(respelled), {("body.note.created_at", "format")}),
    "fresh id": (
        in_note(lambda note: note.update(_id=f"{int(time.time()):08x}{7:016x}")),
        {("body.note._id", "value")},
    ),
    "order of names": (in_note(reordered), {("body.note", "order")}),
    "stale": (in_note(lambda note: note.update(body="before")), {("body.note.body", "value")}),
    "spaces": (spaced, {("body", "format")}),
    "cut": (cut_short, {("body", "type")}),
    "header": (lambda answer: answer.headers.update({"x-framework": "x"}), {("header.x-framework", "extra")}),
    "cookie": (lambda answer: answer.headers.update({"set-cookie": "a=b"}), {("header.set-cookie", "extra")}),
    "entity tag": (lambda answer: answer.headers.update(etag='W/"9a0364b9"'), {("header.etag", "header")}),
    "error": (lambda answer: setattr(answer, "status", 500), {("status", "status")}),
}


@pytest.mark.parametrize("fault", spread([*FAULTS], 0, 3))  # the two other files have all of the table
async def test_fault_has_the_same_differences_in_shadow_and_verify(pair: FaultyPair, fault: str) -> None:
    pair.native.fault, expected = FAULTS[fault]
    try:
        assert {"shadow": await pair.shadow(), "verify": await pair.verify()} == {
            "shadow": [expected, expected],
            "verify": [expected, expected],
        }
    finally:
        pair.native.fault = FAULTS["none"][0]
