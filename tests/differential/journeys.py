"""Strategies for journeys: the requests of a clinician's visit, mostly in this order and mostly valid.

Later steps refer to ids of earlier answers by placeholders: `<_id 0>` is the first `_id` in an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from hypothesis import strategies as st

from proxy.types import JSON
from tests.differential.actions import Action, spelled
from tests.differential.changes import CHANGES
from tests.differential.people import CONSULTATIONS, NOTES, OTHER_TOKEN, PASSWORD, PROMPTS, TOKEN, TRANSCRIPTS, identity
from tests.differential.requests import emails, images, registrations
from tests.differential.values import WORDS, Strategy, anything, flags, mostly

CONSULTATION, TRANSCRIPT, NOTE, PROMPT = (identity(kind, 0) for kind in (CONSULTATIONS, TRANSCRIPTS, NOTES, PROMPTS))

_LONG: Final = ("x" * 5000, "Long — " * 700, "\ud83d", "\ud83d\ude00", "\udc00\ud800", "a\r\nb", "  ", "\x85", "\x1c")
texts: Final[Strategy[JSON]] = mostly(
    st.sampled_from([word for word in WORDS if word.strip()]), st.sampled_from(_LONG), anything, share=3
)
names: Final = st.sampled_from(
    ["diabetes", "Chest pain", "é", "a b&c", "100%", "x" * 300, "😀", "zzz", "boom", "zzzz top"]
)
AUTH: Final = (("authorization", f"Bearer {TOKEN}"),)
LOGGED_IN: Final = (("authorization", f"Bearer <token 0|{TOKEN}>"),)
ETAGS: Final = st.sampled_from(
    [
        "*",
        'W/"x"',
        *(f"<{kind} {number}>" for kind in ("etag", "opaque-tag") for number in range(8)),
        "<etag 1>, <etag 2>",
    ]
)
TYPE: Final = ("content-type", "application/json")


@dataclass(frozen=True)
class Stop:
    """One step: its target, and strategies for the members of its body and for its query."""

    method: str
    target: str
    body: Mapping[str, Strategy[JSON]] | None = None
    query: Mapping[str, Strategy[JSON]] = field(default_factory=dict)

    def action(self, draw: st.DrawFn, headers: tuple[tuple[str, str], ...]) -> Action:
        """Draw the request."""
        pairs = [f"{name}={quote(str(draw(of)), safe='', errors='surrogatepass')}" for name, of in self.query.items()]
        target = "?".join([self.target, *(["&".join(pairs)] if pairs else [])])
        if self.body is None:
            return Action(self.method, target, headers)
        members = {name: draw(of) for name, of in self.body.items()}
        return Action(self.method, target, (*headers, TYPE), spelled(members))


def _started(index: int, known: str) -> str:
    return f"<_id {index}|{known}>"


def _stories(consultation: str, transcript: str, note: str, prompt: str) -> tuple[tuple[Stop, ...], ...]:
    """Return journeys through one consultation, by what they are about."""
    read = (
        Stop("GET", f"/api/consultation/{consultation}"),
        Stop("GET", "/api/consultation"),
        Stop("GET", f"/api/transcript/{consultation}"),
        Stop("GET", f"/api/notes/{consultation}"),
    )
    end = Stop("POST", f"/api/consultation/{consultation}/end", {"prompt_used": st.just(prompt)})
    write = Stop(
        "POST",
        "/api/transcript/update-text",
        {"transcript_id": mostly(st.just(transcript), anything, share=4), "transcript_text": texts},
    )
    link = Stop("PATCH", f"/api/prompts/{prompt}/add-prompt/{transcript}")
    rename = Stop(
        "PATCH", f"/api/prompts/{prompt}", {"prompt_name": texts, "prompt_text": texts, "is_shareable": flags}
    )
    add = Stop("POST", f"/api/notes/{consultation}", {"body": texts, "transcriptId": st.just(transcript)})
    change = Stop("PATCH", f"/api/notes/{note}", {"body": texts})
    return (
        (write, link, end, *read),
        (rename, end, *read[:3], end),
        (end, add, read[0], read[3], end),
        (add, read[3], change, read[3], Stop("DELETE", f"/api/notes/{note}"), read[3], read[0], change),
        (change, Stop("DELETE", f"/api/notes/{note}"), add, *read),
        (rename, Stop("GET", "/api/prompts"), link, read[0], Stop("DELETE", f"/api/prompts/{prompt}"), rename, end),
        (
            Stop("GET", "/api/prompts"),
            Stop("DELETE", f"/api/prompts/{prompt}"),
            Stop("GET", "/api/prompts"),
            link,
            rename,
        ),
        (write, Stop("POST", f"/api/ai/{consultation}/summarise", {"usedPrompt": texts}), *read),
    )


_MAKE: Final = Stop("POST", "/api/prompts", {"prompt_name": texts, "prompt_text": texts, "is_shareable": flags})
_SEARCH: Final = (
    Stop("POST", "/api/ai/search", query={"query": texts}),
    Stop("GET", "/api/ai/search/clinicalcodes", query={"name": names}),
    Stop("POST", "/api/ai/analyze", {"prompt": texts, "images": images}),
    Stop("POST", "/api/ai/analyze", {"prompt": texts, "images": anything}),
)
_STORED: Final = _stories(CONSULTATION, TRANSCRIPT, NOTE, PROMPT)
_START: Final = Stop("POST", "/api/consultation/start", {"patient_data": anything})
_LOGIN: Final = Stop("POST", "/users/login", {"email": emails, "password": st.just(PASSWORD)})
_LOGOUT: Final = Stop("POST", "/users/logout")
_PROFILE: Final = Stop("GET", "/users/profile")
_FREE: Final = Stop("GET", "/users/users/checkEmail", query={"email": emails})
_NEW: Final = tuple(
    (_START, _MAKE, *story)
    for story in _stories(_started(0, CONSULTATION), _started(1, TRANSCRIPT), _started(3, NOTE), _started(2, PROMPT))
)
_ACCOUNT: Final = (_FREE, _FREE, _LOGIN, _PROFILE, _LOGIN)
JOURNEYS: Final = (*_STORED, *_STORED, *_NEW, _SEARCH, _ACCOUNT, (_MAKE, Stop("GET", "/api/prompts")))


@st.composite
def journeys(draw: st.DrawFn) -> list[Action]:
    """Draw a journey in order, begun with a login now and then; some steps are left out, and one or two are changed."""
    story = draw(st.sampled_from(JOURNEYS))
    headers = draw(st.sampled_from([AUTH] * 5 + [LOGGED_IN, (("authorization", f"Bearer {OTHER_TOKEN}"),)]))
    steps = [stop.action(draw, headers) for stop in story if draw(st.integers(0, 6))]
    if headers == LOGGED_IN or not steps:
        begin = draw(registrations()) if draw(st.booleans()) else _FREE.action(draw, ())
        steps = [begin, _LOGIN.action(draw, ()), _PROFILE.action(draw, headers), *steps]
        steps.append(draw(st.sampled_from([_LOGOUT, _PROFILE])).action(draw, headers))
    if draw(st.integers(0, 3)) == 0:
        steps = [_by_other(step) if draw(st.integers(0, 2)) == 0 else step for step in steps]
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        index = draw(st.integers(0, len(steps) - 1))
        steps[index] = _changed(draw, steps[index])
    return steps


def _by_other(action: Action) -> Action:
    """Let the other clinician take a step."""
    return action.with_header("authorization", f"Bearer {OTHER_TOKEN}")


def _changed(draw: st.DrawFn, action: Action) -> Action:
    """Change a step as any request, or replace one member of its body by anything."""
    if action.method == "GET" and draw(st.booleans()):
        return action.with_header("if-none-match", draw(ETAGS))
    if draw(st.integers(0, 2)) or action.body is None:
        return draw(CHANGES)(action)
    return replace(action, body=spelled(draw(anything)))
