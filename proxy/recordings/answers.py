"""Two answers to one request held against each other: outcome, status, headers, body."""

import base64
import hashlib
from collections.abc import Collection

from proxy.comparison.correspondence import Correspondence, TextDifference, abbreviate
from proxy.comparison.volatile import mask
from proxy.contract.payloads import PayloadError, is_json, media_type, parse_json
from proxy.recordings.model import RecordedAnswer
from proxy.types import JSON

IGNORED_HEADERS = frozenset(("date", "connection", "keep-alive", "transfer-encoding", "x-request-id", "x-served-by"))
"""What belongs to the connection, the moment, or a gateway in between, never to the answer."""


def compare_answers(
    recorded: RecordedAnswer, live: RecordedAnswer, names: Correspondence, ignored: Collection[str] = IGNORED_HEADERS
) -> list[TextDifference]:
    """Every place where `live` is not what `recorded` was; `names` learns what stands for what."""
    if recorded.outcome != live.outcome or recorded.outcome != "response":
        same = recorded.outcome == live.outcome
        return [] if same else [TextDifference("outcome", "outcome", describe(recorded), describe(live))]
    found: list[TextDifference] = []
    if recorded.status != live.status:
        found.append(TextDifference("status", "status", str(recorded.status), str(live.status)))
    return found + _compare_headers(recorded, live, names, ignored) + _compare_bodies(recorded, live, names)


def describe(answer: RecordedAnswer) -> str:
    """The outcome, with status and body where there was an answer."""
    if answer.outcome != "response":
        return answer.outcome
    return f"response {answer.status} {answer.text[:120]}".rstrip()


def content(answer: RecordedAnswer) -> JSON:
    """The body parsed where it is JSON and says so, else its text."""
    parsed = _parsed(answer)
    return answer.text if parsed is None else parsed[0]


def entity_tag(body: bytes) -> str:
    """The weak tag that jshttp's etag library computes: length in hex, 27 characters of base64 SHA-1."""
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return f'W/"{len(body):x}-{digest[:27]}"'


def _compare_headers(
    recorded: RecordedAnswer, live: RecordedAnswer, names: Correspondence, ignored: Collection[str]
) -> list[TextDifference]:
    found: list[TextDifference] = []
    for name, value in recorded.headers.items():
        if name not in ignored and name not in live.headers:
            found.append(TextDifference(f"header.{name}", "missing", value, ""))
        elif name not in ignored and not _same_header(name, recorded, live, names):
            found.append(TextDifference(f"header.{name}", "header", value, live.headers[name]))
    extra = [name for name in live.headers if name not in recorded.headers and name not in ignored]
    return found + [TextDifference(f"header.{name}", "extra", "", live.headers[name]) for name in extra]


def _same_header(name: str, recorded: RecordedAnswer, live: RecordedAnswer, names: Correspondence) -> bool:
    ours, theirs = recorded.headers[name], live.headers[name]
    if name == "etag":
        return _same_tag(recorded, live, names)
    if name == "content-length" and recorded.body and live.body:
        return True  # framing has already held each to its own body
    return not names.compare_text(ours, theirs, name)


def _same_tag(recorded: RecordedAnswer, live: RecordedAnswer, names: Correspondence) -> bool:
    """A tag depends on the ids and dates in the body, so each is held to its own body or to an earlier answer."""
    ours, theirs = recorded.headers["etag"], live.headers["etag"]
    known = names.stands_for(ours)
    names.learn(ours, theirs)
    if recorded.body and ours == entity_tag(recorded.body):
        return theirs == entity_tag(live.body)
    if recorded.body:  # made in another way, or the recorded text was edited since
        return ours.startswith("W/") == theirs.startswith("W/")
    return theirs == known if known else ours.partition("-")[0] == theirs.partition("-")[0]


def _parsed(answer: RecordedAnswer) -> tuple[JSON] | None:
    """The JSON in a body, in a tuple since it may be null."""
    if not is_json(media_type(answer.headers.get("content-type", ""))):
        return None
    try:
        return (parse_json(answer.text),)
    except PayloadError:
        return None


def _compare_bodies(recorded: RecordedAnswer, live: RecordedAnswer, names: Correspondence) -> list[TextDifference]:
    ours, theirs = _parsed(recorded), _parsed(live)
    if ours is None and theirs is None:
        return names.compare_text(recorded.text, live.text, "body")
    if ours is None or theirs is None:
        return [TextDifference("body", "type", abbreviate(recorded.text), abbreviate(live.text))]
    return names.compare(ours[0], theirs[0], "body") or _compare_spelling(recorded.text, live.text)


def _compare_spelling(recorded: str, live: str) -> list[TextDifference]:
    """Equal JSON may still be written otherwise: spaces, escapes, 1.0 for 1, a name given twice."""
    ours, theirs = mask(recorded), mask(live)
    if ours == theirs:
        return []
    return [TextDifference("body", "value", abbreviate(ours), abbreviate(theirs))]
