"""Write a sample's request, with anonymised values, as a recording or as a curl command. Pure.

A recording is played on legacy (`record`) and then on native (`verify`). It shows the difference of the sample unless
that depends on the replaced values, which `about` lists.
"""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from proxy.reports.models import Sample
from proxy.types import JSON

CONVERSATION: Final = (
    "a WebSocket conversation cannot be sent again: of the client's messages only type and length are stored, "
    "because they hold audio"
)
"""The reason why a sample of a WebSocket is not reproducible."""
NAME: Final = "sample "
"""The prefix of the names of these scenarios."""
_UPGRADE: Final = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "c2NyaWJlLXByb3h5LWtleQ==",
}
_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_TOKEN: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
Steps = Sequence[Mapping[str, JSON]]


class NotReproducible(ValueError):
    """A sample whose request cannot be written; the message is for a person."""


def scenario(sample: Sample, login: Steps = ()) -> dict[str, JSON]:
    """Return a scenario that sends the sample's request, after the steps of a login if given.

    With a login, the request has the token from the answers of its steps. Raises NotReproducible.
    """
    step = _step(sample)
    prelude, reference = _until_token(login) if login else ([], None)
    request = cast("dict[str, Any]", step["request"])
    if reference is not None:
        request["headers"] = {**request["headers"], "authorization": f"Bearer {{{{{reference}}}}}"}
    steps: list[JSON] = [*prelude, {"name": "request", **step}]
    return {"scenario": f"{NAME}{sample.id}", "about": about(sample, logged_in=bool(login)), "steps": steps}


def about(sample: Sample, *, logged_in: bool = False) -> str:
    """Return the differences of a sample, and the values that were replaced in its request."""
    parts = ", ".join(_replaced(sample, logged_in=logged_in)) or "nothing"
    return f"{_fields(sample)}; replaced in the request: {parts}"


def _fields(sample: Sample) -> str:
    fields = ", ".join(dict.fromkeys(f"{one.field} ({one.kind})" for one in sample.differences)) or "no field"
    return f"differs in {fields}"


def curl(sample: Sample) -> str:
    """Return a curl command for the request; $BASE_URL and $TOKEN are the caller's. Raises NotReproducible.

    For a WebSocket conversation it is the handshake, which shows a refusal.
    """
    if _is_conversation(sample):
        return _handshake(sample)
    request = cast("dict[str, Any]", _step(sample)["request"])
    words = ["curl", "-sS", "-i", "-X", shlex.quote(request["method"])]
    for name, value in request["headers"].items():
        text = '"authorization: Bearer $TOKEN"' if name == "authorization" else shlex.quote(f"{name}: {value}")
        words += ["-H", text]
    if "content" in request:
        words += ["--data-binary", shlex.quote(request["content"])]
    return f'# {about(sample)}\n{" ".join(words)} "$BASE_URL"{shlex.quote(request["path"])}'


def _handshake(sample: Sample) -> str:
    """Return a curl command for the handshake of a conversation."""
    template = sample.request.template
    if template is None:
        raise NotReproducible(CONVERSATION)
    words = ["curl -sS -i --http1.1 --max-time 5"]
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in _UPGRADE.items()]
    if any(name == "authorization" for name, _ in sample.request.headers):
        words.append('-H "authorization: Bearer $TOKEN"')
    path = shlex.quote(_PARAMETER.sub("1", template))
    return f'# {_fields(sample)}; the handshake only: {CONVERSATION}\n{" ".join(words)} "$BASE_URL"{path}'


def _is_conversation(sample: Sample) -> bool:
    return any(name == "sec-websocket-key" for name, _ in sample.request.headers)


def _step(sample: Sample) -> dict[str, JSON]:
    if _is_conversation(sample):
        raise NotReproducible(CONVERSATION)
    if sample.reproduction is None:
        raise NotReproducible("the request of this sample cannot be anonymised, so it was not stored")
    return copy.deepcopy(dict(sample.reproduction))


def _replaced(sample: Sample, *, logged_in: bool) -> Iterator[str]:
    request = cast("dict[str, Any]", _step(sample)["request"])
    if "{" in (sample.request.template or "{"):
        yield "the path's parameters"
    if "?" in request["path"]:
        yield "the query"
    if "authorization" in request["headers"]:
        yield "the caller" if logged_in else "the credentials (a login is needed)"
    if "content" in request:
        yield "the body"


def _until_token(login: Steps) -> tuple[list[JSON], str]:
    """Return the steps up to the last one that answers a token, and the reference to that token."""
    for index in range(len(login) - 1, -1, -1):
        response = cast("dict[str, Any]", login[index].get("response") or {})
        pointer = next(_pointers(response.get("json"), ""), None)
        if pointer is not None:
            name = str(login[index]["name"])
            return [copy.deepcopy(dict(one)) for one in login[: index + 1]], f"{name}:{pointer}"
    raise NotReproducible("no step of the login answers with a token")


def _pointers(value: JSON, pointer: str) -> Iterator[str]:
    """Yield the JSON pointers (RFC 6901) of tokens in an answer."""
    if isinstance(value, str) and _TOKEN.fullmatch(value.removeprefix("Bearer ")):
        yield pointer
    elif isinstance(value, dict):
        for name, below in value.items():
            yield from _pointers(below, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _pointers(below, f"{pointer}/{index}")


def find_login(recordings: str, name: str) -> Steps:
    """Return the steps of a scenario in the text of an http.json. Raises NotReproducible."""
    try:
        entries: Any = json.loads(recordings)
        [entry] = [one for one in entries if one["scenario"] == name]
        return cast("Steps", entry["steps"])
    except (ValueError, KeyError, TypeError):
        raise NotReproducible(f"the recordings have no scenario {name}") from None
