"""Both backends side by side on real parts: each with a database and outside services of its own.

Each request goes to the demo's legacy and to the native app over the network, byte for byte the same; what
comes back is compared as `scribe-proxy verify` compares, and explained by what contracts/divergences.yaml declares.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import EllipsisType
from typing import Any, Final, TypeVar

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.database import Database
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.services import DemoLegacy, backend_environment
from demo.upstreams import create_app as create_upstreams
from handlers.app import create_app
from handlers.container import ServiceTimings
from handlers.settings import Settings
from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.exchanges import AnswerComparison, verdict_of
from proxy.comparison.modes import RECORDING
from proxy.comparison.verdicts import Difference, Verdict
from proxy.contract import divergences
from proxy.contract.divergences import Divergence, Occurrence, explain
from proxy.contract.reading import load as load_contract
from proxy.recordings.compare_side_effects import compare_calls, compare_documents
from proxy.recordings.comparing import compare_answers
from proxy.recordings.model import RecordedRequest
from proxy.recordings.raw_http import Origin, exchange
from proxy.types import JSON
from tests.support.backends import scratch_database
from tests.support.outside_services import lasting
from tests.support.patient_timings import PATIENT
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT

_CONTRACTS: Final = Path(__file__).parents[2] / "contracts"
DECLARED: Final = divergences.load(_CONTRACTS / "divergences.yaml")
CONTRACT: Final = load_contract(_CONTRACTS / "openapi.yaml")
_DATES: Final[CodecOptions[dict[str, Any]]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
HANG: Final = 0.8
"""Seconds without an answer that count as never, if that is what is expected."""
ANSWER_TIMEOUT: Final = HANG_TIMEOUT

_PAGE: Final = DecodedAnswer(
    "response", 500, {"content-type": "text/html; charset=utf-8"}, b"<pre>Internal Server Error</pre>"
)


T = TypeVar("T", bound=Callable[..., object])
shown: dict[str, list[str]] = {}
"""The names of the tests that show a divergence, by its id."""


def shows(identity: str) -> Callable[[T], T]:
    """Mark a test that shows both backends' answers of a declared divergence."""

    def note(test: T) -> T:
        shown.setdefault(identity, []).append(test.__name__)
        return test

    return note


class Outside:
    """The offline OpenAI and NHS services, or an app that replaces them for a while."""

    def __init__(self) -> None:
        self._usual = create_upstreams()
        self._now: ASGIApp = self._usual

    @contextlib.contextmanager
    def giving(self, app: ASGIApp) -> Iterator[None]:
        """Answer by another app until the end of the block."""
        self._now = app
        try:
            yield
        finally:
            self._now = self._usual

    @property
    def calls(self) -> list[JSON]:
        """Return the calls of the offline services, in the form of the recordings."""
        calls: list[JSON] = self._usual.state.calls
        return calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._now(scope, receive, send)


@dataclass(frozen=True)
class RunningBackend:
    """One running backend."""

    origin: Origin
    database: Database[dict[str, Any]]
    outside: Outside

    async def send(self, request: RecordedRequest, timeout: float = ANSWER_TIMEOUT) -> DecodedAnswer:
        """Send a request and return the answer; connect again if the demo's legacy is being restarted.

        A worker that ends resets the connections that it has not accepted yet.
        """
        while True:
            try:
                return await exchange(self.origin, request, timeout)
            except (ConnectionRefusedError, ConnectionResetError):
                await asyncio.sleep(0.05)

    async def until_ready(self) -> None:
        """Wait until the backend answers: the demo's legacy may be restarting after the test before."""
        while (await self.send(RecordedRequest("GET", "/", (), b""))).outcome != "response":
            await asyncio.sleep(0.05)

    def documents(self, collection: str, *, typed: bool = False) -> list[JSON]:
        """Return a collection in extended JSON, in stored order: relaxed, or `typed`, with each number's type."""
        options = json_util.CANONICAL_JSON_OPTIONS if typed else json_util.RELAXED_JSON_OPTIONS
        stored = list(self.database.get_collection(collection, codec_options=_DATES if typed else None).find())
        documents: list[JSON] = json.loads(json_util.dumps(stored, json_options=options))
        return documents


@dataclass(frozen=True)
class AnswerPair:
    """Both answers to one request."""

    request: RecordedRequest
    legacy: DecodedAnswer
    native: DecodedAnswer

    @property
    def differences(self) -> list[Difference]:
        return compare_answers(self.legacy, self.native, names())

    @property
    def occurrence(self) -> Occurrence:
        return self._occurrence(self.native)

    def _occurrence(self, native: DecodedAnswer) -> Occurrence:
        path = self.request.target.partition("?")[0]
        return Occurrence(f"{self.request.method} {path}", exchange=(self.request, self.legacy, native))

    def assert_declared(self, identity: str) -> None:
        """Assert that the entry alone explains every difference, and does not explain any difference at all."""
        assert_explained_by(identity, self.occurrence, self.differences)
        broken = compare_answers(self.legacy, _PAGE, names())
        assert explain(DECLARED, self._occurrence(_PAGE), broken).unexplained, f"{identity} would hide a failure"

    def assert_declared_in(self, scenario: str, identity: str) -> None:
        """Assert that the entry alone explains every difference in the scenario, and none outside of it."""
        entry = assert_explained_by(identity, replace(self.occurrence, scenario=scenario), self.differences)
        assert explain(entry, self.occurrence, self.differences).declared == ()

    @property
    def verdict(self) -> Verdict:
        """Return the verdict by the contract and all declared divergences."""
        operation = CONTRACT.operation(self.request.method, self.request.target)
        violations = AnswerComparison(self.legacy, self.native, RECORDING, names, operation).violations()
        return verdict_of(tuple(self.differences), explain(DECLARED, self.occurrence, self.differences), violations, ())

    def assert_equal(self) -> None:
        assert self.differences == [], self.request


@dataclass(frozen=True)
class BackendPair:
    """The demo's legacy and a native app."""

    legacy: RunningBackend
    native: RunningBackend

    async def send(self, request: RecordedRequest, timeout: float = ANSWER_TIMEOUT) -> AnswerPair:
        """Send a request to both backends at once."""
        return AnswerPair(request, *await asyncio.gather(self.legacy.send(request, timeout), self.native.send(request)))

    async def send_native_first(
        self, request: RecordedRequest, replaces_hang: Callable[[DecodedAnswer], bool]
    ) -> AnswerPair:
        """Send a request to native, then to legacy, which has `HANG` seconds if native's answer replaces a hang.

        A slow answer of the legacy is a hang only where one is expected.
        """
        native = await self.native.send(request)
        legacy = await self.legacy.send(request, HANG if replaces_hang(native) else ANSWER_TIMEOUT)
        return AnswerPair(request, legacy, native)

    def plant(self, documents: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Store the same documents in both databases, and no others."""
        for backend in (self.legacy, self.native):
            for name in {*backend.database.list_collection_names(), *documents}:
                _plant(backend.database[name], documents.get(name, ()))

    def forget_calls(self) -> None:
        """Forget the outside calls of both backends."""
        for backend in (self.legacy, self.native):
            backend.outside.calls.clear()

    def stored(
        self, collection: str, scenario: str = "", *, typed: bool = False
    ) -> tuple[Occurrence, list[Difference]]:
        """Return the differences between the stored documents; `typed` compares the types of numbers, too."""
        legacy, native = [backend.documents(collection, typed=typed) for backend in (self.legacy, self.native)]
        differences = compare_documents(collection, legacy, native, names())
        return Occurrence(f"STORE {collection}", scenario), differences

    def called(self, scenario: str = "") -> tuple[Occurrence, list[Difference]]:
        """Return the differences between the outside calls."""
        differences = compare_calls(self.legacy.outside.calls, self.native.outside.calls, names())
        return Occurrence("CALLS", scenario), differences


def _plant(collection: Collection[dict[str, Any]], documents: Sequence[Mapping[str, Any]]) -> None:
    """Let a collection have the documents only; if it has them to the byte, nothing is written, which takes longer."""
    raw = CodecOptions[RawBSONDocument](document_class=RawBSONDocument)  # some cannot be decoded
    if [each.raw for each in collection.with_options(raw).find()] == [bson.encode(each) for each in documents]:
        return
    collection.delete_many({})
    if documents:
        collection.insert_many([each if isinstance(each, RawBSONDocument) else dict(each) for each in documents])


def names() -> Correspondence:
    """Return the correspondence of two answers of this moment: only ids and dates generated just now may differ.

    Dates that are equal on one side may be seconds apart on the other, because the machine may be busy.
    """
    now = time.time_ns() // 1_000_000
    return Correspondence(now, now, coincidence=round(1000 * PROMPT_TIMEOUT))


def assert_traced(traces: tuple[Occurrence, list[Difference]], identity: str) -> None:
    """Assert that the entry alone explains all different side effects, and explains none of another scenario."""
    occurrence, differences = traces
    entry = assert_explained_by(identity, occurrence, differences)
    assert explain(entry, replace(occurrence, scenario="another"), differences).declared == ()


def assert_explained_by(identity: str, occurrence: Occurrence, differences: Sequence[Difference]) -> list[Divergence]:
    """Assert that the entry alone explains every difference of the occurrence, of which there are some; return it."""
    entry = [one for one in DECLARED if one.id == identity]
    assert differences, "both sides are alike"
    explained = explain(entry, occurrence, differences)
    assert (explained.declared, explained.unexplained) == ((identity,), ())
    return entry


def post(target: str, body: JSON | EllipsisType = ..., token: str = "", method: str = "POST") -> RecordedRequest:
    """Return a request with a JSON body, or without a body."""
    if body is ...:
        return RecordedRequest(method, target, _authorization(token), b"")
    headers = (("content-type", "application/json"), *_authorization(token))
    return RecordedRequest(method, target, headers, json.dumps(body).encode())


def get(target: str, token: str = "", method: str = "GET") -> RecordedRequest:
    """Return a request without a body."""
    return RecordedRequest(method, target, _authorization(token))


def replaces_hang_of_login(native: DecodedAnswer) -> bool:
    """Return whether the legacy may never answer a login that native answers so: a wrong password, a limit."""
    return native.status == 429 or native.body == b'{"msg":"wrong credentials"}'


def _authorization(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


def read(answer: DecodedAnswer) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.body)


@contextlib.asynccontextmanager
async def legacy_backend(mongodb_url: str, log: Path, *, through: str = "") -> AsyncIterator[RunningBackend]:
    """Run the demo's legacy; `through` replaces MongoDB's address if it is given."""
    outside = Outside()
    async with lasting(outside) as port:
        with scratch_database(mongodb_url) as database:
            environment = backend_environment(through or mongodb_url, f"http://127.0.0.1:{port}", database.name)
            demo_legacy = DemoLegacy(environment, log)
            await asyncio.to_thread(demo_legacy.start)
            try:
                yield RunningBackend(Origin.parse(demo_legacy.url), database, outside)
            finally:
                await asyncio.to_thread(demo_legacy.stop)


@contextlib.asynccontextmanager
async def native_backend(
    mongodb_url: str,
    settings: Mapping[str, object] | None = None,
    *,
    through: str = "",
    timings: ServiceTimings = PATIENT,
) -> AsyncIterator[RunningBackend]:
    """Run the native app in this process, behind the gateway's listener; `through` as in `legacy_backend`."""
    outside = Outside()
    async with lasting(outside) as port:
        with scratch_database(mongodb_url) as database:
            environment = backend_environment(through or mongodb_url, f"http://127.0.0.1:{port}", database.name)
            known = {name.lower(): value for name, value in environment.items()}
            values = {name: value for name, value in known.items() if name in Settings.model_fields}
            app = create_app(Settings.load(**{**values, **(settings or {})}), timings)
            async with app.router.lifespan_context(app), serving(app) as native_port:
                yield RunningBackend(Origin.parse(f"http://127.0.0.1:{native_port}"), database, outside)
