"""A simulated clinician: the requests that the frontend sends for one person's actions during a day.

All random choices come from one `random.Random`, so that the same seed gives the same day. Later requests use the ids
and the token of earlier answers. An action ends early if an answer lacks them.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import httpx
import websockets

ORIGIN: Final = "http://localhost:3000"
_PIECES: Final = (9, 18)
_PIECE_BYTES: Final = (800, 2400)
_PASSWORD: Final = "correct horse battery"  # noqa: S105 - of people who do not exist

COMPLAINTS: Final = (
    "a cough for three weeks",
    "chest pain on the stairs",
    "a rash on both arms",
    "poor sleep",
    "dizziness",
)
TERMS: Final = ("diabetes", "hypertension", "asthma", "eczema", "insomnia")
PATIENTS: Final = ("Ann Example", "Ben Sample", "Cora Model", "Dev Instance", "Ewa Muster", "Femi Specimen")
PROMPTS: Final = (("SOAP", "Summarise as SOAP."), ("Letter", "Write a letter to the patient's GP."))

EXPIRED: Final = (  # signed with the demo's secret, valid for an hour in 2020
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJ1c2VySUQiOiI2NGI3ZjBmMGYwZjBmMGYwZjBmMGYwZjAiLCJhdXRob3IiOiJhbWFyYSIsImlhdCI6MTYwMDAwMDAwMCwiZXhwIjoxNjAwMDAzNjAwfQ."
    "MHf9YzYJrtg02s8kto8rcFlLCy9HPrplQghZMFL3VaA"
)  # fmt: skip

Slip = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class AnswerTimeouts:
    """Seconds to wait for an answer, and for the answer to a wrong password, which legacy never sends."""

    usual: float = 5.0
    wrong_password: float = 1.0


TIMEOUTS: Final = AnswerTimeouts()


@dataclass
class ActionCounts:
    """Counts: answers by class (`2xx`, …, `none`), and completed actions."""

    answers: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    at_work: int = 0

    def add(self, status: int | None) -> None:
        """Count an answer by its status, None without an answer."""
        self.answers["none" if status is None else f"{status // 100}xx"] += 1


def dig(value: object, *keys: str) -> Any:
    """Return the value below some keys of JSON, None if a key is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


class Clinician:
    """One person with one browser. `pause` waits for some minutes of the simulated day."""

    def __init__(
        self,
        name: str,
        clinic: str,
        client: httpx.AsyncClient,
        chance: Random,
        counts: ActionCounts,
        pause: Callable[[float], Awaitable[None]],
        timeouts: AnswerTimeouts = TIMEOUTS,
    ) -> None:
        self._name = name
        self._email = f"{name}@{clinic}.example"
        self._client = client
        self._chance = chance
        self._counts = counts
        self._pause = pause
        self._timeouts = timeouts
        self._token = ""
        self._prompts: list[str] = []
        self._known: list[str] = []

    async def arrive(self) -> None:
        """Register on the first day, log in, and open the start page."""
        self._counts.at_work += 1
        await self._request("OPTIONS", "/users/login")
        free = await self._request("GET", f"/users/users/checkEmail?email={self._email}")
        if dig(free, "available"):
            await self._register()
        answer = await self._request("POST", "/users/login", {"email": self._email, "password": _PASSWORD})
        self._token = dig(answer, "token") or ""
        await asyncio.gather(self._request("GET", "/users/profile"), self._request("GET", "/api/consultation"))
        await self._find_prompts()

    async def consult(self) -> None:
        """Hold a consultation: record it, write notes, and end it with a summary."""
        patient = {"name": self._chance.choice(PATIENTS), "complaint": self._chance.choice(COMPLAINTS)}
        answer = await self._request("POST", "/api/consultation/start", {"patient_data": patient})
        consultation = dig(answer, "data", "consultation", "_id")
        transcript = dig(answer, "data", "transcript", "_id")
        if consultation is None or transcript is None:
            return
        self._known.append(consultation)
        recorded = await self._record(consultation)
        text = f"{recorded or 'Not recorded.'} The patient reports {patient['complaint']}."
        await self._request(
            "POST", "/api/transcript/update-text", {"transcript_id": transcript, "transcript_text": text}
        )
        await self._pause(2)
        await self._write_notes(consultation, transcript)
        await self._conclude(consultation, transcript)

    async def search(self) -> None:
        """Search with the model and the terminology server."""
        term = self._chance.choice(TERMS)
        await self._request("GET", f"/api/ai/search/clinicalcodes?name={term}")
        await self._request("POST", f"/api/ai/search?query=first-line treatment of {term}")
        if self._chance.random() < 0.5:
            picture = base64.b64encode(self._chance.randbytes(600)).decode()
            await self._request("POST", "/api/ai/analyze", {"prompt": "What is this?", "images": [picture]})

    async def review(self) -> None:
        """Read earlier consultations, and edit prompts."""
        await self._request("GET", "/api/consultation")
        for consultation in self._known[-2:]:
            await self._request("GET", f"/api/consultation/{consultation}")
            await self._request("GET", f"/api/notes/{consultation}")
        answer = await self._request("POST", "/api/prompts", {"prompt_name": "Draft", "prompt_text": "To be written."})
        prompt = dig(answer, "data", "_id")
        if prompt is not None:
            change = {"prompt_text": f"Ask about {self._chance.choice(TERMS)}.", "is_shareable": True}
            await self._request("PATCH", f"/api/prompts/{prompt}", change)
            await self._pause(1)
            await self._request("DELETE", f"/api/prompts/{prompt}")
        await self._request("GET", "/api/prompts")

    async def slip(self) -> None:
        """Make a random mistake."""
        slips: Sequence[Slip] = (
            self._mistype_password, self._come_back_late, self._follow_broken_link, self._save_empty_note,
            self._register, self._request_unknown_path,
        )  # fmt: skip
        self._counts.done["mistakes"] += 1
        await self._chance.choice(slips)()

    async def leave(self) -> None:
        """Log out."""
        await self._request("POST", "/users/logout")
        self._token = ""
        self._counts.at_work -= 1

    async def _register(self) -> object:
        user = {"username": self._name, "email": self._email, "password": _PASSWORD, "role": "clinician"}
        return await self._request("POST", "/users/register", user)

    async def _find_prompts(self) -> None:
        answer = await self._request("GET", "/api/prompts")
        self._prompts = [each["_id"] for each in dig(answer, "prompts") or ()]
        if self._prompts:
            return
        for name, text in PROMPTS:
            made = await self._request("POST", "/api/prompts", {"prompt_name": name, "prompt_text": text})
            self._prompts += [identity] if (identity := dig(made, "data", "_id")) else []

    async def _write_notes(self, consultation: str, transcript: str) -> None:
        for number in range(self._chance.randint(1, 3)):
            body = f"{number + 1}. Advised to come back in {self._chance.randint(2, 12)} weeks."
            answer = await self._request(
                "POST", f"/api/notes/{consultation}", {"body": body, "transcriptId": transcript}
            )
            note, fate = dig(answer, "note", "_id"), self._chance.random()
            await self._pause(1)
            if note is not None and fate < 0.3:
                await self._request("PATCH", f"/api/notes/{note}", {"body": f"{body} Reviewed."})
            elif note is not None and fate < 0.4:
                await self._request("DELETE", f"/api/notes/{note}")

    async def _conclude(self, consultation: str, transcript: str) -> None:
        if not self._prompts:
            return
        prompt = self._chance.choice(self._prompts)
        await self._request("PATCH", f"/api/prompts/{prompt}/add-prompt/{transcript}")
        ended = await self._request("POST", f"/api/consultation/{consultation}/end", {"prompt_used": prompt})
        self._counts.done["consultations"] += dig(ended, "summary") is not None
        await self._request("GET", f"/api/consultation/{consultation}")
        await self._request("GET", f"/api/transcript/{consultation}")
        if self._chance.random() < 0.2:
            await self._request("POST", f"/api/ai/{consultation}/summarise", {"usedPrompt": "Be brief."})

    async def _record(self, consultation: str) -> str | None:
        """Record, and return the text; None if there is none."""
        try:
            async with asyncio.timeout(self._timeouts.usual), self._stream() as stream:
                await stream.recv()
                await self._speak(stream, consultation)
                return await _final_text(stream)
        except (OSError, TimeoutError, websockets.WebSocketException):
            self._counts.add(None)
            return None

    def _stream(self) -> websockets.connect:
        url = self._client.base_url.copy_with(scheme="ws", path="/transcription-stream")
        return websockets.connect(str(url), origin=websockets.Origin(ORIGIN), proxy=None)

    async def _speak(self, stream: websockets.ClientConnection, consultation: str) -> None:
        await stream.send(json.dumps({"type": "start_recording", "consultationId": consultation}))
        for _ in range(self._chance.randint(*_PIECES)):
            piece = self._chance.randbytes(self._chance.randint(*_PIECE_BYTES))
            await stream.send(json.dumps({"type": "audio_chunk", "audioData": base64.b64encode(piece).decode()}))
            await self._pause(0.2)
        await stream.send(json.dumps({"type": "stop_recording"}))

    async def _mistype_password(self) -> object:
        login = {"email": self._email, "password": "corect horse"}
        return await self._request("POST", "/users/login", login, timeout=self._timeouts.wrong_password)

    async def _come_back_late(self) -> object:
        return await self._request("GET", "/api/prompts", token=EXPIRED)

    async def _follow_broken_link(self) -> object:
        odd = self._chance.choice(("undefined", "64b7f0f0f0f0f0f0f0f0f0f0", "null", "%20"))
        return await self._request("GET", f"/api/consultation/{odd}")

    async def _save_empty_note(self) -> object:
        consultation = self._known[-1] if self._known else "undefined"
        return await self._request("POST", f"/api/notes/{consultation}", {"body": ""})

    async def _request_unknown_path(self) -> object:
        return await self._request("GET", "/api/reports")

    async def _request(
        self, method: str, path: str, body: object = None, *, token: str | None = None, timeout: float | None = None
    ) -> Any:
        """Send a request, and return the JSON of its response; None if there is none."""
        bearer = self._token if token is None else token
        headers = {"origin": ORIGIN, **({"authorization": f"Bearer {bearer}"} if bearer else {})}
        try:
            limit = timeout or self._timeouts.usual
            answer = await self._client.request(method, path, json=body, headers=headers, timeout=limit)
            self._counts.add(answer.status_code)
            return answer.json()
        except httpx.TransportError:
            self._counts.add(None)
        except ValueError:
            return None


async def _final_text(stream: websockets.ClientConnection) -> str | None:
    """Return the text of the recording when its end is confirmed."""
    text = None
    while True:
        answer = json.loads(await stream.recv())
        if answer["type"] == "recording_stopped":
            return text
        text = dig(answer, "text") or text
