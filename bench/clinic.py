"""The data of a clinic, created through the legacy's own API, and the requests that read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import httpx

USERS = 10
CONSULTATIONS = 50
PROMPTS = 5
NOTES = 3


@dataclass(slots=True)
class Clinic:
    """The users' tokens, and for each kind of request each user's target."""

    targets: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add_request(self, question: str, path: str, token: str) -> None:
        self.targets.setdefault(question, []).append((path, token))

    def script(self, question: str, directory: Path) -> Path:
        """Return a wrk script that sends one request as each user in turn."""
        lines = ["local requests, turn = {}, 0"]
        for path, token in self.targets[question]:
            lines.append(f'requests[#requests + 1] = {{"{path}", {{Authorization = "Bearer {token}"}}}}')
        lines += [
            "request = function()",
            "  turn = turn % #requests + 1",
            '  return wrk.format("GET", requests[turn][1], requests[turn][2])',
            "end",
        ]
        file = directory / f"{question.replace(' ', '-')}.lua"
        file.write_text("\n".join(lines) + "\n")
        return file


def furnish(base_url: str) -> Clinic:
    """Register users, and create some documents for each."""
    clinic = Clinic()
    with httpx.Client(base_url=base_url, timeout=30) as client:
        for number in range(USERS):
            _work(client, clinic, _join(client, number))
    return clinic


def _join(client: httpx.Client, number: int) -> str:
    person = {"email": f"clinician{number}@bench.example", "password": "correct horse"}
    client.post("/users/register", json={**person, "username": f"clinician{number}", "role": "clinician"})
    token: str = client.post("/users/login", json=person).json()["token"]
    return token


def _work(client: httpx.Client, clinic: Clinic, token: str) -> None:
    client.headers["authorization"] = f"Bearer {token}"
    for number in range(PROMPTS):
        body = {"prompt_name": f"SOAP {number}", "prompt_text": "Summarise in four lines. " * 10}
        client.post("/api/prompts", json=body)
    for number in range(CONSULTATIONS):
        patient = {"name": f"Patient {number}", "age": 20 + number}
        started = client.post("/api/consultation/start", json={"patient_data": patient}).json()["data"]
    consultation, transcript = started["consultation"]["_id"], started["transcript"]["_id"]
    for _ in range(NOTES):
        client.post(f"/api/notes/{consultation}", json={"body": "Rest and fluids.", "transcriptId": transcript})
    clinic.add_request("profile", "/users/profile", token)
    clinic.add_request("prompts", "/api/prompts", token)
    clinic.add_request("notes", f"/api/notes/{consultation}", token)
    clinic.add_request("transcript", f"/api/transcript/{consultation}", token)
    clinic.add_request("one consultation", f"/api/consultation/{consultation}", token)
    clinic.add_request("50 consultations", "/api/consultation", token)
