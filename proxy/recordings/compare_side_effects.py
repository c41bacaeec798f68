"""What a scenario leaves behind, on both sides held against each other: stored documents and outside calls."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from proxy.comparison.correspondence import Correspondence, TextDifference, abbreviate
from proxy.contract.payloads import parse_json
from proxy.types import JSON

_SHORTENED = re.compile(r"<instructions.*>", re.DOTALL)
_WHOLE_SECOND = re.compile(r"(T\d\d:\d\d:\d\d)(Z|[+-]\d\d:\d\d)$")


class _Pair(NamedTuple):
    place: int
    recorded: JSON
    live: JSON


def compare_documents(
    collection: str, recorded: Sequence[JSON], live: Sequence[JSON], names: Correspondence
) -> list[TextDifference]:
    """The documents of one collection, in relaxed extended JSON, each against the one that stands for it.

    A document whose `_id` has been seen is found by it, the others in the order in which they are stored.
    """
    found: list[TextDifference] = []
    for index, ours, theirs in _pair(recorded, live, names):
        path = f"store.{collection}.{index}"
        if theirs is None:
            found.append(TextDifference(path, "missing", abbreviate(ours), ""))
        elif ours is None:
            found.append(TextDifference(path, "extra", "", abbreviate(theirs)))
        else:
            found += names.compare(_with_milliseconds(ours), _with_milliseconds(theirs), path)
    return found


def compare_calls(recorded: Sequence[JSON], live: Sequence[JSON], names: Correspondence) -> list[TextDifference]:
    """Calls to outside services in order: method, path and body, whatever the order of a JSON body's keys."""
    ours, theirs = [_plain(call) for call in recorded], [_plain(call) for call in live]
    return names.compare(_filled(ours, theirs), theirs, "calls", ordered=False)


def _pair(recorded: Sequence[JSON], live: Sequence[JSON], names: Correspondence) -> list[_Pair]:
    unmatched = list(live)
    pairs: list[_Pair] = []
    for index, document in enumerate(recorded):
        known = _known(document, unmatched, names)
        if known is not None:
            unmatched.remove(known)
        pairs.append(_Pair(index, document, known))
    rest = iter(unmatched)
    pairs = [pair if pair.live is not None else pair._replace(live=next(rest, None)) for pair in pairs]
    return pairs + [_Pair(index, None, document) for index, document in enumerate(rest, len(pairs))]


def _known(document: JSON, candidates: Sequence[JSON], names: Correspondence) -> JSON:
    identity = names.live_text(abbreviate(_identity(document)))
    return next((one for one in candidates if abbreviate(_identity(one)) == identity), None)


def _identity(document: JSON) -> JSON:
    return document.get("_id") if isinstance(document, dict) else document


def _with_milliseconds(value: JSON) -> JSON:
    """Extended JSON leaves out a date's milliseconds where there are none, which is chance, not meaning."""
    if isinstance(value, list):
        return [_with_milliseconds(one) for one in value]
    if not isinstance(value, dict):
        return value
    date = value.get("$date")
    if isinstance(date, str):
        return {**value, "$date": _WHOLE_SECOND.sub(r"\1.000\2", date)}
    return {name: _with_milliseconds(one) for name, one in value.items()}


def _plain(call: JSON) -> JSON:
    """A call without its host, and its query and body taken apart: those are spelled in many ways."""
    if not isinstance(call, dict):
        return call
    url = urlsplit(str(call.get("path", "")))
    body, kind = str(call.get("body") or ""), str(call.get("ctype") or "")
    return {
        "method": call.get("method"),
        "path": url.path,
        "query": _fields(url.query),
        "body": _taken_apart(body, kind),
    }


def _taken_apart(body: str, kind: str) -> JSON:
    if kind.startswith("application/x-www-form-urlencoded"):
        return _fields(body)
    boundary = re.search(r'boundary="?([^";]+)', kind)
    try:
        return parse_json(body)
    except ValueError:
        return body.replace(boundary[1], "boundary") if boundary else body


def _fields(query: str) -> JSON:
    return [[name, value] for name, value in parse_qsl(query, keep_blank_values=True)]


def _filled(recorded: JSON, live: JSON) -> JSON:
    """`recorded` with the live text wherever the recording holds instructions cut short in angle brackets."""
    if isinstance(recorded, dict) and isinstance(live, dict):
        return {name: _filled(value, live.get(name)) for name, value in recorded.items()}
    if isinstance(recorded, list) and isinstance(live, list):
        others = [*live, *[None] * len(recorded)]
        return [_filled(one, other) for one, other in zip(recorded, others, strict=False)]
    cut_short = isinstance(recorded, str) and _SHORTENED.fullmatch(recorded)
    whole = isinstance(live, str) and not _SHORTENED.fullmatch(live)
    return live if cut_short and whole else recorded
