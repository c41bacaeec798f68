"""Compare the side effects of a scenario with those recorded: stored documents and outside calls. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from proxy.comparison.correspondence import Correspondence, abbreviate
from proxy.comparison.verdicts import Difference, LocatedValue, grade
from proxy.contract.payloads import parse_json
from proxy.recordings.comparing import compare_recorded_values, one_sided
from proxy.types import JSON, ValuePath

_SHORTENED = re.compile(r"<instructions.*>", re.DOTALL)
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_WHOLE_SECOND = re.compile(r"(T\d\d:\d\d:\d\d)(Z|[+-]\d\d:\d\d)$")


class _Pair(NamedTuple):
    expected: JSON
    actual: JSON


def compare_documents(
    collection: str, expected: Sequence[JSON], actual: Sequence[JSON], names: Correspondence
) -> list[Difference]:
    """Return the differences of one collection's documents in relaxed extended JSON.

    A document with a known `_id` is compared with its counterpart, the others in the order in which they are stored.
    If `names` are strict, the order of all documents is compared, too.
    """
    pairs = _pair(expected, actual, names)
    differences = _order_differences(collection, pairs, actual) if names.strict else []
    for index, (one, other) in enumerate(pairs):
        path = ("store", collection, index)
        if other is None:
            differences.append(one_sided("missing", one, *path))
        elif one is None:
            differences.append(one_sided("extra", other, *path))
        else:
            differences += compare_recorded_values(_with_milliseconds(one), _with_milliseconds(other), names, *path)
    return differences


def compare_calls(expected: Sequence[JSON], actual: Sequence[JSON], names: Correspondence) -> list[Difference]:
    """Return the differences of calls to outside services: method, path and body, without a JSON body's key order.

    If `names` are strict, the key order, the credentials and the content type are compared, too.
    """
    expected_calls, actual_calls = (
        [_plain(call, strict=names.strict) for call in calls] for calls in (expected, actual)
    )
    return compare_recorded_values(_filled(expected_calls, actual_calls), actual_calls, names, "calls")


def _pair(expected: Sequence[JSON], actual: Sequence[JSON], names: Correspondence) -> list[_Pair]:
    unmatched = list(actual)
    pairs: list[_Pair] = []
    for document in expected:
        counterpart = _counterpart(document, unmatched, names)
        if counterpart is not None:
            unmatched.remove(counterpart)
        pairs.append(_Pair(document, counterpart))
    rest = iter(unmatched)
    pairs = [pair if pair.actual is not None else pair._replace(actual=next(rest, None)) for pair in pairs]
    return pairs + [_Pair(None, document) for document in rest]


def _order_differences(collection: str, pairs: Sequence[_Pair], actual: Sequence[JSON]) -> list[Difference]:
    """Return the difference if documents that both sides have are stored in another order."""
    positions = {id(document): index for index, document in enumerate(actual)}
    order = [positions[id(pair.actual)] for pair in pairs if pair.expected is not None and pair.actual is not None]
    if order == sorted(order):
        return []
    path: ValuePath = ("store", collection)
    spots = [
        LocatedValue(path, [_identity(document) for document in documents])
        for documents in ([p.expected for p in pairs], actual)
    ]
    return [Difference(path, "order", grade("order", path), *spots)]


def _counterpart(document: JSON, candidates: Sequence[JSON], names: Correspondence) -> JSON:
    identity = names.native_text(abbreviate(_identity(document)))
    return next((one for one in candidates if abbreviate(_identity(one)) == identity), None)


def _identity(document: JSON) -> JSON:
    return document.get("_id") if isinstance(document, dict) else document


def _with_milliseconds(value: JSON) -> JSON:
    """Return a value with the milliseconds that extended JSON omits from a date on a whole second."""
    if isinstance(value, list):
        return [_with_milliseconds(one) for one in value]
    if not isinstance(value, dict):
        return value
    date = value.get("$date")
    if isinstance(date, str):
        return {**value, "$date": _WHOLE_SECOND.sub(r"\1.000\2", date)}
    return {name: _with_milliseconds(one) for name, one in value.items()}


def _plain(call: JSON, *, strict: bool) -> JSON:
    """Return a call without its host, with its query and body parsed: clients spell those in many ways.

    `strict` retains the order of keys, the credentials and the content type.
    """
    if not isinstance(call, dict):
        return call
    url = urlsplit(str(call.get("path", "")))
    body = str(call.get("body") or "")
    kind = str(call.get("ctype") or "")
    headers: dict[str, JSON] = {"auth": call.get("auth"), "ctype": _BOUNDARY.sub("", kind)} if strict else {}
    return {
        **headers,
        "method": call.get("method"),
        "path": url.path,
        "query": _fields(url.query),
        "body": _parsed_body(body, kind, strict=strict),
    }


def _parsed_body(body: str, kind: str, *, strict: bool) -> JSON:
    if kind.startswith("application/x-www-form-urlencoded"):
        return _fields(body)
    boundary = _BOUNDARY.search(kind)
    try:
        parsed = parse_json(body)
        return parsed if strict else _sorted(parsed)
    except ValueError:
        return body.replace(boundary[1], "boundary") if boundary else body


def _sorted(value: JSON) -> JSON:
    """Return a value with the names of every object in one order."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _fields(query: str) -> JSON:
    return [[name, value] for name, value in parse_qsl(query, keep_blank_values=True)]


def _filled(expected: JSON, actual: JSON) -> JSON:
    """Return the recorded value with the actual text in place of instructions that the recording abridges as `<…>`."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {name: _filled(value, actual.get(name)) for name, value in expected.items()}
    if isinstance(expected, list) and isinstance(actual, list):
        others = [*actual, *[None] * len(expected)]
        return [_filled(one, other) for one, other in zip(expected, others, strict=False)]
    cut_short = isinstance(expected, str) and _SHORTENED.fullmatch(expected)
    whole = isinstance(actual, str) and not _SHORTENED.fullmatch(actual)
    return actual if cut_short and whole else expected
