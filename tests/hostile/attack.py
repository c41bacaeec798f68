"""Play hostile requests to a native app behind a gateway, and measure how long each holds the event loop.

python -m tests.hostile [SIZE]      # against a mongod of its own; prints the worst, in milliseconds of CPU time
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hmac
import itertools
import math
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import brotli  # type: ignore[import-untyped]
import httpx
from bson import ObjectId
from pymongo.database import Database
from starlette.types import ASGIApp, Receive, Scope, Send

from handlers.services.documents import new_consultation, new_note, new_prompt, new_user
from proxy.config.loading import parse
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from tests.hostile.loop_watch import LoopWatch
from tests.hostile.values import texts
from tests.support.backends import SECRET
from tests.support.v1_client import TOKENS
from tests.support.websocket_client import frame, handshake, raw_client

MAX_ATTEMPTS: Final = 6
"""How often a request that holds the loop is sent."""


@dataclass(frozen=True)
class Person:
    """A clinician with one thing of each kind, as stored."""

    headers: dict[str, str]
    consultation: ObjectId
    transcript: ObjectId
    note: ObjectId
    prompt: ObjectId

    @classmethod
    def store(cls, database: Database[dict[str, object]]) -> Person:
        """Store a new clinician."""
        user = new_user("amara", f"{ObjectId()}@clinic.example", "", "clinician")
        consultation, transcript = new_consultation(user["_id"], None)
        note = new_note(user["_id"], transcript["_id"], consultation["_id"], "text")
        prompt = new_prompt(user["_id"], "name", "text", shared=False)
        for name, document in (
            ("users", user),
            ("consultations", consultation),
            ("transcripts", transcript),
            ("notes", note),
            ("prompts", prompt),
        ):
            database[name].insert_one(document)
        headers = {"authorization": f"Bearer {TOKENS.issue(user['_id'], 'amara')}"}
        return cls(headers, consultation["_id"], transcript["_id"], note["_id"], prompt["_id"])


def endpoints(person: Person) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield every endpoint with a body: method, path and its fields."""
    yield "POST", "/users/register", ("username", "email", "password", "role")
    yield "POST", "/users/login", ("email", "password")
    yield "POST", "/api/consultation/start", ("patient_data",)
    yield "POST", f"/api/consultation/{person.consultation}/end", ("prompt_used",)
    yield "POST", "/api/transcript/update-text", ("transcript_id", "transcript_text")
    yield "POST", f"/api/notes/{person.consultation}", ("body", "transcriptId")
    yield "PATCH", f"/api/notes/{person.note}", ("body",)
    yield "POST", "/api/prompts", ("prompt_name", "prompt_text", "is_shareable")
    yield "PATCH", f"/api/prompts/{person.prompt}", ("prompt_name", "prompt_text", "is_shareable")
    yield "POST", f"/api/ai/{person.consultation}/summarise", ("usedPrompt",)
    yield "POST", "/api/ai/analyze", ("prompt", "images")
    yield "POST", "/api/v1/users/register", ("username", "email", "password", "role")
    yield "POST", "/api/v1/users/login", ("email", "password")
    yield "POST", "/api/v1/consultations/start", ("patient_data",)
    yield "POST", f"/api/v1/consultations/{person.consultation}/end", ("prompt_id",)
    yield "PUT", f"/api/v1/transcripts/{person.transcript}", ("text",)
    yield "POST", "/api/v1/notes", ("consultation_id", "body")
    yield "PATCH", f"/api/v1/notes/{person.note}", ("body",)
    yield "POST", "/api/v1/prompts", ("name", "text", "is_shareable")
    yield "PATCH", f"/api/v1/prompts/{person.prompt}", ("name", "text", "is_shareable")
    yield "POST", "/api/v1/ai/search", ("query",)
    yield "POST", "/api/v1/ai/summary", ("consultation_id", "instructions")
    yield "POST", "/api/v1/ai/images", ("images", "prompt")


def header_sets(size: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Return sets of headers of about `size` bytes in all, by name."""
    yield "many", {f"x-{number}": "a" for number in range(size // 16)}
    yield "cookies", {"cookie": "; ".join(f"c{number}=v" for number in range(size // 9))}
    yield "one cookie many times", {"cookie": "scribe_side=x;" * (size // 14)}
    yield "no cookies", {"cookie": ";" * size}
    yield "addresses", {"x-forwarded-for": ", ".join(["10.0.0.1"] * (size // 10)), "forwarded": "for=1;" * (size // 12)}
    yield "tags", {"if-none-match": ", ".join(['W/"a"'] * (size // 7))}
    yield "codings", {"accept-encoding": ", ".join(["gzip;q=0.1"] * (size // 12)), "accept": "a/*;q=0," * (size // 20)}
    yield "ranges", {"range": "bytes=" + "0-1," * (size // 4)}
    yield "quotes", {"content-type": 'application/json;a="' + '\\"' * (size // 2)}
    yield "origin", {"origin": "http://" + "a." * (size // 2)}


def behind_gateway(app: ASGIApp) -> ASGIApp:
    """Return the app behind a gateway that buckets callers by token, cookie and header."""
    gateway = Gateway(RoutingSnapshot.of(parse(ROUTING, {}), app, app))

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["type"] == "lifespan" else gateway)(scope, receive, send)

    return respond


ROUTING: Final = """
legacy: {url: http://127.0.0.1:9}
native: tests.nowhere:app
bucketing: {key: [jwt:userID, cookie:session, header:x-caller]}
limits: {per_client: 10000}
routes:
  - {name: reads, match: "GET /*", native: 100%, guard: {}}
  - {name: notes, match: "* /api/notes/{id}", native: 100%, guard: {}}
  - {name: all, match: "* /*", native: 100%}
  - {name: streams, match: WS /*, native: 100%}
"""


def bodies(text: str, fields: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield a text as a whole body, and as each field of one."""
    yield "body", text
    for name in fields:
        others = "".join(f'"{other}":"x",' for other in fields if other != name)
        yield name, f'{{{others}"{name}":{text}}}'
    if "images" in fields:
        yield "images[]", f'{{"images":[{text}]}}'


CODINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "deflate": lambda data: zlib.compress(data, 1),
    "br": lambda data: bytes(brotli.compress(data, quality=1)),
}


@dataclass(frozen=True)
class Lag:
    """The longest time that one request held the loop, in CPU seconds, and its answer."""

    request: str
    seconds: float
    culprit: str
    status: str


class Attack:
    """Sends requests and frames to one server, and takes the loop's longest callback of each from `watch`.

    A request that holds the loop longer than `suspect` (seconds) is sent again, and the shortest time counts: garbage
    collections and the load of the machine lengthen some of the attempts, the cost of the request lengthens all.
    """

    def __init__(self, url: str, watch: LoopWatch, person: Person, suspect: float = math.inf) -> None:
        self._url = url
        self._watch = watch
        self._person = person
        self._suspect = suspect
        self.lags: list[Lag] = []

    async def run(self, size: int, *, quick: bool = False) -> None:
        """Play everything; with `quick`, each text at one endpoint, all endpoints in turn."""
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=120) as client:
            for request in self._requests(size, quick=quick):
                self.lags.append(await self._shortest(partial(self._send_request, client, *request)))
        for one in itertools.islice(self._frames(size), 0, None, 8 if quick else 1):
            self.lags.append(await self._shortest(partial(self._send_frame, *one)))

    async def _shortest(self, send: Callable[[], Awaitable[Lag]]) -> Lag:
        """Return the shortest lag of what is sent, of as many attempts as are suspect."""
        shortest = await send()
        for _ in range(MAX_ATTEMPTS - 1):
            if shortest.seconds <= self._suspect:
                break
            shortest = min(shortest, await send(), key=lambda lag: lag.seconds)
        return shortest

    def _requests(self, size: int, *, quick: bool) -> Iterator[tuple[str, str, str, dict[str, str], bytes]]:
        places = itertools.cycle(list(endpoints(self._person)))
        for name, text in texts(size).items():
            chosen = itertools.islice(places, 1) if quick else endpoints(self._person)
            for method, path, fields in chosen:
                for where, body in bodies(text, fields):
                    headers = {**self._person.headers, "content-type": "application/json"}
                    yield f"{name} in {where}", method, path, headers, body.encode("utf-8", "surrogatepass")
        yield from self._coded(size)
        yield from self._charsets(size)
        yield from self._multipart(size)
        yield from self._heads()

    def _coded(self, size: int) -> Iterator[tuple[str, str, str, dict[str, str], bytes]]:
        for coding, encode in CODINGS.items():
            headers = {"content-type": "application/json", "content-encoding": coding}
            for name, content in (
                ("brackets", b"[" * size),
                ("zeros", b"\0" * size),
                ("a text", b'{"email":"' + b"a" * size + b'"}'),
                ("too much", b"[" * (20 * size)),
            ):
                yield f"{name} as {coding}", "POST", "/users/login", headers, encode(content)
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        yield "many members", "POST", "/users/login", headers, gzip.compress(b"") * (size // 80)
        yield "many full members", "POST", "/users/login", headers, gzip.compress(b" ") * (size // 80)

    def _charsets(self, size: int) -> Iterator[tuple[str, str, str, dict[str, str], bytes]]:
        for charset, content in itertools.product(
            ("utf-8", "utf-16", "utf-16le", "utf-32", "utf-32le", "utf-7", "utf-7-imap"),
            (b"\xff", b"\xe2\x82", b"\x00\xd8", b"\x00\xd8\x00\x00", b"+-", b"&-", b"[\0\0\0", b"\x80"),
        ):
            for length in (size, 65_000):
                headers = {"content-type": f"application/json; charset={charset}"}
                body = content * (length // len(content))
                yield f"{content!r} in {charset}", "POST", "/users/login", headers, body

    def _multipart(self, size: int) -> Iterator[tuple[str, str, str, dict[str, str], bytes]]:
        part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
        for name, content in (
            ("parts", part * (size // len(part))),
            ("boundaries", b"--b\r\n" * (size // 5)),
            ("headers", b"--b\r\n" + b"a: b\r\n" * (size // 6)),
            ("nothing", b"-" * size),
        ):
            headers = {**self._person.headers, "content-type": "multipart/form-data; boundary=b"}
            for path in ("/users/login", "/api/v1/users/login", "/api/v1/ai/images"):
                yield f"multipart: {name}", "POST", path, headers, content

    def _heads(self) -> Iterator[tuple[str, str, str, dict[str, str], bytes]]:
        long = 14_000
        for name, text in (
            ("escapes", "%41" * (long // 3)),
            ("bad escapes", "%ff" * (long // 3)),
            ("broken escapes", "%" * long),
            ("pairs", "&a" * (long // 2)),
            ("one key", "email=a&" * (long // 8)),
            ("pluses", "+" * long),
            ("slashes", "/" * long),
            ("digits", "1" * long),
        ):
            token = {"authorization": f"Bearer {text}"}
            yield f"query of {name}", "GET", f"/users/users/checkEmail?email={text}", {}, b""
            yield f"path of {name}", "GET", f"/{text}", {}, b""
            yield f"note's path of {name}", "GET", f"/api/notes/{text}", self._person.headers, b""
            yield f"type of {name}", "POST", "/users/login", {"content-type": f"application/json;{text}"}, b"{}"
            yield f"token of {name}", "GET", "/users/profile", token, b""
            yield f"v1 token of {name}", "GET", "/api/v1/users/profile", token, b""
            yield f"cookie of {name}", "GET", "/api/v1/users/profile", {"cookie": text}, b""
            yield f"tag of {name}", "GET", "/", {"if-none-match": f'"{text},'}, b""
        for name, headers in header_sets(long):
            for path in ("/", "/users/profile", "/api/v1/users/profile"):
                yield f"headers: {name}", "GET", path, headers, b""
        for name, header in (("brackets", b"[" * 9_000), ("deep", b"[" * 4_500 + b"]" * 4_500), ("text", b'"' * 9_000)):
            for head, payload in ((header, b"{}"), (b'{"alg":"HS256","typ":"JWT"}', header)):
                token = {"authorization": f"Bearer {signed(head, payload)}"}
                yield f"token's {name}", "GET", "/users/profile", token, b""
                yield f"v1 token's {name}", "GET", "/api/v1/users/profile", token, b""

    async def _send_request(
        self, client: httpx.AsyncClient, name: str, method: str, path: str, headers: dict[str, str], content: bytes
    ) -> Lag:
        self._watch.reset()
        try:
            status = str((await client.request(method, self._url + path, headers=headers, content=content)).status_code)
        except httpx.TransportError as error:
            status = type(error).__name__
        return self._lag(f"{method} {path.split('?')[0][:40]}: {name}", status)

    def _frames(self, size: int) -> Iterator[tuple[str, str, bytes]]:
        token = self._person.headers["authorization"].split(" ")[1]
        for target in ("/transcription-stream", f"/api/v1/transcription-stream?token={token}"):
            for name, text in texts(size).items():
                yield name, target, frame(1, text.encode("utf-8", "surrogatepass"))
                for field, kind in (("audioData", "audio_chunk"), ("consultationId", "start_recording")):
                    body = f'{{"type":"{kind}","{field}":{text}}}'
                    yield f"{name} as {field}", target, frame(1, body.encode("utf-8", "surrogatepass"))
        for name, frames in small_frames(size):
            yield name, "/transcription-stream", frames

    async def _send_frame(self, name: str, target: str, data: bytes) -> Lag:
        port = urlsplit(self._url).port
        assert port is not None
        async with raw_client(port, handshake(target)) as socket:
            await socket.read_frame()
            socket.writer.write(frame(1, b'{"type":"start_recording","consultationId":"0123456789abcdef01234567"}'))
            await socket.read_frame()
            self._watch.reset()
            socket.writer.write(data + frame(1, b'"done'))
            status = "closed"
            try:
                async with asyncio.timeout(60):
                    while b"Invalid message format" not in (seen := await socket.read_frame())[1]:
                        status = str(seen[0])
                    await socket.writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            return self._lag(f"WS {target.split('?')[0]}: {name}", status)

    def _lag(self, request: str, status: str) -> Lag:
        return Lag(request, self._watch.seconds, self._watch.culprit, status)

    def worst(self, number: int) -> list[Lag]:
        """Return those that held the loop longest."""
        return sorted(self.lags, key=lambda lag: -lag.seconds)[:number]


def small_frames(size: int) -> Iterator[tuple[str, bytes]]:
    """Return masked frames with as little content as possible, at most `size` bytes and about 1 MB in all."""
    size = min(size, 1_000_000)
    for name, one in (("empty fragments", frame(0, fin=False)), ("fragments of a byte", frame(0, b"x", fin=False))):
        yield name, frame(2, fin=False) + one * (size // len(one)) + frame(0)
    for name, one in (("pings", frame(9)), ("pongs", frame(10)), ("short messages", frame(1, b"1"))):
        yield name, one * (size // len(one))


def signed(header: bytes, payload: bytes) -> str:
    """Return a token of any two parts with a valid signature."""
    text = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header, payload))
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha256"))
    return f"{text}.{signature.rstrip(b'=').decode()}"
