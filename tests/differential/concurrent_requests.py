"""Strategies for requests that run at the same time on the same documents."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from proxy.types import JSON
from tests.differential.actions import Action, spelled
from tests.differential.interleaving import Interleaving, Removal
from tests.differential.linked import SOUND, linked_documents, valid_documents
from tests.differential.people import CONSULTATIONS, NOTES, OTHER_TOKEN, PASSWORD, PROMPTS, TOKEN, TRANSCRIPTS, identity
from tests.differential.values import mostly

CONSULTATION, TRANSCRIPT, NOTE, PROMPT = (identity(kind, 0) for kind in (CONSULTATIONS, TRANSCRIPTS, NOTES, PROMPTS))
OTHER_PROMPT = identity(PROMPTS, 2)


def request(method: str, target: str, body: JSON = None, token: str = TOKEN) -> Action:
    """Return a request of a clinician."""
    headers = (("authorization", f"Bearer {token}"),)
    if method == "GET":
        return Action(method, target, headers)
    return Action(
        method, target, (*headers, ("content-type", "application/json")), spelled({} if body is None else body)
    )


REGISTER: Final = request(
    "POST", "/users/register", {"email": "new@x", "password": "p", "username": "n", "role": "patient"}
)
REQUESTS: Final = (
    request("POST", f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}),
    request("POST", f"/api/consultation/{CONSULTATION}/end", {"prompt_used": OTHER_PROMPT}, OTHER_TOKEN),
    request("POST", f"/api/notes/{CONSULTATION}", {"body": "New.", "transcriptId": TRANSCRIPT}),
    request("POST", f"/api/notes/{CONSULTATION}", {"body": "Newer.", "transcriptId": TRANSCRIPT}, OTHER_TOKEN),
    request("PATCH", f"/api/notes/{NOTE}", {"body": "One."}),
    request("PATCH", f"/api/notes/{NOTE}", {"body": ""}),
    request("PATCH", f"/api/notes/{NOTE}", {"body": " "}),
    request("DELETE", f"/api/notes/{NOTE}"),
    request("POST", "/api/transcript/update-text", {"transcript_id": TRANSCRIPT, "transcript_text": "New."}),
    request("PATCH", f"/api/prompts/{PROMPT}", {"prompt_name": "a", "prompt_text": "b"}),
    request("PATCH", f"/api/prompts/{PROMPT}", {"transcript_ids": [TRANSCRIPT], "__v": 3}),
    request("PATCH", f"/api/prompts/{PROMPT}", {"is_deleted": True}),
    request("PATCH", f"/api/prompts/{PROMPT}/add-prompt/{TRANSCRIPT}"),
    request("PATCH", f"/api/prompts/{OTHER_PROMPT}/add-prompt/{TRANSCRIPT}", token=OTHER_TOKEN),
    request("DELETE", f"/api/prompts/{PROMPT}"),
    request("POST", "/api/prompts", {"prompt_name": "n", "prompt_text": "t", "is_shareable": True}),
    request("POST", "/api/consultation/start", {"patient_data": {"name": "Jane"}}),
    request("POST", f"/api/ai/{CONSULTATION}/summarise", {"usedPrompt": "p"}),
    request("POST", "/users/login", {"email": "amara@clinic.example", "password": PASSWORD}),
    request("POST", "/users/logout"),
    REGISTER,
    request("GET", "/users/users/checkEmail?email=new@x"),
    request("GET", "/users/profile"),
    request("GET", "/api/consultation"),
    request("GET", f"/api/consultation/{CONSULTATION}"),
    request("GET", f"/api/notes/{CONSULTATION}"),
    request("GET", f"/api/transcript/{CONSULTATION}"),
    request("GET", "/api/prompts"),
)
"""Requests of every endpoint that uses the database, to the same few documents."""


END: Final = REQUESTS[0]
CALLS: Final = (
    END,
    request("POST", "/api/ai/search?query=q"),
    request("POST", "/api/ai/analyze", {"prompt": "p", "images": ["https://x"]}),
    request("GET", "/api/ai/search/clinicalcodes?name=x"),
)
"""Requests that call the model, twice at the end of a consultation, or the terminology server."""
REMOVALS: Final = (
    Removal("consultations", CONSULTATION),
    Removal("transcripts", TRANSCRIPT),
    Removal("prompts", PROMPT),
    Removal("notes", NOTE),
)
END_PARTS: Final = 4


@st.composite
def interleaved_calls(draw: st.DrawFn) -> Interleaving:
    """Draw the end of a consultation, one or two further requests, perhaps a removal, and an order of their parts.

    Only one of them is a registration, as in `interleavings`.
    """
    drawn = st.lists(st.sampled_from((*REQUESTS, *CALLS)), min_size=1, max_size=2)
    others = draw(drawn.filter(lambda chosen: chosen.count(REGISTER) < 2))
    removed: list[int | Removal] = draw(st.lists(st.sampled_from(REMOVALS), max_size=1))
    parts = [*[0] * END_PARTS, *[number for number in range(1, len(others) + 1) for _ in range(2)], *removed]
    return Interleaving(SOUND, (END, *others), tuple(draw(st.permutations(parts))), holds_calls=True)


@st.composite
def interleavings(draw: st.DrawFn) -> Interleaving:
    """Draw two to four requests, and an order of their reads and writes.

    Only one of them is a registration: the second one of an address can end the legacy's process.
    """
    drawn = st.lists(st.sampled_from(REQUESTS), min_size=2, max_size=4)
    actions = draw(drawn.filter(lambda chosen: chosen.count(REGISTER) < 2))
    before = draw(mostly(valid_documents(), linked_documents(), share=3))
    order = draw(st.permutations([*range(len(actions))] * 2))
    return Interleaving(before, tuple(actions), tuple(order))
