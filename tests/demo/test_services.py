import base64
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from pymongo import MongoClient
from websockets.asyncio.client import connect

from demo.managed_process import ManagedProcessError
from demo.node import is_installed
from demo.ports import free_port
from demo.services import LEGACY, SECRET, DemoLegacy, Gateway, Upstreams, backend_environment
from proxy.recordings import model
from proxy.recordings.player import Player, PlayerSettings
from proxy.recordings.side_effects import OutsideCalls, StoredDocuments
from tests.support.recording_environment import HANG
from tests.support.waiting import BRIEFLY_IDLE, HANG_TIMEOUT, until_async

DATABASE = "stand_in_tests"
RECORDINGS = LEGACY.parents[1] / "contracts" / "recordings"
AMARA = {"username": "amara", "email": "amara@clinic.example", "password": "correct horse", "role": "clinician"}


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstreams]:
    service = Upstreams(tmp_path_factory.mktemp("upstreams") / "log")
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory, mongodb_url: str, upstreams: Upstreams) -> Iterator[DemoLegacy]:
    environment = backend_environment(mongodb_url, upstreams.url, DATABASE)
    service = DemoLegacy(environment, tmp_path_factory.mktemp("legacy") / "log")
    service.start()
    yield service
    service.stop()
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(DATABASE)


@pytest.fixture
async def client(legacy: DemoLegacy, mongodb_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the demo legacy, whose database is empty."""
    with MongoClient[dict[str, Any]](mongodb_url) as mongodb:
        for name in mongodb[DATABASE].list_collection_names():
            mongodb[DATABASE][name].delete_many({})
    async with httpx.AsyncClient(
        base_url=legacy.url, trust_env=False, verify=False, limits=BRIEFLY_IDLE, timeout=HANG_TIMEOUT
    ) as http:
        yield http


@pytest.mark.slow
async def test_recorded_hangs_and_resets_are_replayed(
    legacy: DemoLegacy, upstreams: Upstreams, mongodb_url: str
) -> None:
    # The gateway would answer these recordings itself. The other recordings are played through one.
    everything = model.load(RECORDINGS)
    silent = [one for one in everything.scenarios if any(step.answer.outcome != "response" for step in one.steps)]
    chosen = replace(everything, scenarios=tuple(silent))
    async with StoredDocuments(mongodb_url, DATABASE) as documents, OutsideCalls(f"{upstreams.url}/_calls") as calls:
        report = await Player(legacy.url, PlayerSettings(HANG, restart_timeout=HANG_TIMEOUT), documents, calls).play(
            chosen
        )
    assert report.differing == ()
    counted = {subject: tally.equal for subject, tally in report.by_subject().items()}
    steps = sum(len(one.steps) for one in silent)
    assert steps > len(silent) > 5
    held = {"conversation": 14, "connection": 4}
    assert counted == {"step": steps, "store": len(silent), "calls": len(silent), **held}


async def test_killed_service_resets_the_connection_and_restarts(client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/users/register", json={**AMARA, "role": "admin"})

    async def welcomes() -> bool:
        try:
            answer = await client.get("/")
        except httpx.TransportError:
            return False
        return bool(answer.json() == {"msg": "welcome to the server"})

    await until_async(welcomes)


@pytest.mark.filterwarnings("ignore:The HMAC key")  # the recordings' secret is as short as that
async def test_login_returns_a_token_of_the_shared_secret(client: httpx.AsyncClient) -> None:
    await client.post("/users/register", json=AMARA)
    token = (await client.post("/users/login", json=AMARA)).json()["token"]
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert claims["author"] == "amara"
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "Bad Request"),
        (b'"text"', "Bad Request"),
        (b'{"email": {"a": 1}}', '"name":"CastError"'),
        (b'{"email": {"$where": 1}}', "{}"),
    ],
)
async def test_faulty_bodies_fail_as_the_libraries_fail(client: httpx.AsyncClient, body: bytes, text: str) -> None:
    answer = await client.post("/users/login", content=body, headers={"content-type": "application/json"})
    assert text in answer.text


async def test_binary_frame_of_json_is_read_like_a_text_frame(legacy: DemoLegacy) -> None:
    async with connect(legacy.url.replace("http", "ws") + "/transcription-stream") as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "start_recording", "consultationId": "C-1"}).encode())
        assert json.loads(await socket.recv())["type"] == "recording_started"


async def test_audio_frames_are_answered_with_text(legacy: DemoLegacy) -> None:
    chunk = json.dumps({"type": "audio_chunk", "audioData": base64.b64encode(b"a" * 1500).decode()})
    async with connect(legacy.url.replace("http", "ws") + "/transcription-stream") as socket:
        for frame in ('{"type": "start_recording"}', chunk, chunk, '{"type": "stop_recording"}'):
            await socket.send(frame)
        received = [json.loads(await socket.recv()) for _ in range(4)]
    assert received[2]["text"] == "heard 3k final"
    assert received[3]["type"] == "recording_stopped"


def test_legacy_packages_are_installed() -> None:
    assert is_installed(LEGACY)


def test_gateway_is_ready_where_the_environment_names_a_proxy(
    legacy: DemoLegacy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    routing = tmp_path / "routing.yaml"
    routing.write_text(f'legacy: {{url: "{legacy.url}"}}\nroutes: []\n')
    gateway = Gateway(routing, {}, tmp_path / "log", host="127.0.0.1", port=free_port(), ops_port=free_port())
    try:
        gateway.start()
        gateway.check()
    finally:
        gateway.stop()


def test_missing_mongodb_ends_the_process_with_an_error(tmp_path: Path) -> None:
    nowhere = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100&connectTimeoutMS=100"
    service = DemoLegacy(backend_environment(nowhere, "http://127.0.0.1:1"), tmp_path / "log")
    with pytest.raises(ManagedProcessError, match=r"cannot start: .*ECONNREFUSED"):
        service.start()
    service.stop()


def test_stop_ends_the_worker(tmp_path: Path, mongodb_url: str, upstreams: Upstreams) -> None:
    service = DemoLegacy(backend_environment(mongodb_url, upstreams.url, DATABASE), tmp_path / "log")
    service.start()
    assert httpx.get(service.url, trust_env=False, verify=False, timeout=HANG_TIMEOUT).status_code == 200
    service.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(service.url, trust_env=False, verify=False, timeout=HANG_TIMEOUT)


def test_killed_supervisor_ends_its_worker(tmp_path: Path, mongodb_url: str) -> None:
    service = DemoLegacy(backend_environment(mongodb_url, "http://127.0.0.1:1", DATABASE), tmp_path / "log")
    service.start()
    assert service.pid is not None
    os.kill(service.pid, signal.SIGKILL)
    assert _is_silent_soon(service.url)
    service.stop()


def _is_silent_soon(url: str) -> bool:
    deadline = time.monotonic() + HANG_TIMEOUT
    while time.monotonic() < deadline:
        try:
            httpx.get(url, trust_env=False, verify=False, timeout=HANG_TIMEOUT)
        except httpx.TransportError:
            return True
        time.sleep(0.02)
    return False
