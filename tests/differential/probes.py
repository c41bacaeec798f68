"""Strategies for probes: requests of every endpoint by either clinician, with nothing wrong but their values.

Other strategies vary everything that a client can vary, so that most of their requests are refused early. A probe
reaches the branches of its handler, on documents in any valid state.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from hypothesis import strategies as st

from proxy.types import JSON
from tests.differential.actions import Action, spelled
from tests.differential.people import OTHER_TOKEN, PASSWORD, PASSWORDS, TOKEN
from tests.differential.requests import ENDPOINTS, REGISTER, Endpoint, filled
from tests.differential.values import REFERENCES, Strategy, mostly

_TEXTS: Final = ("Chest pain.", " padded\xa0", "", " ", "ends with\x1c", "\ufeffbegins", "FAIL-AI", "BADJSON")
_VALUES: Final[Strategy[JSON]] = st.one_of(
    st.sampled_from(["", None, False, 0]),
    st.sampled_from(_TEXTS),
    st.sampled_from([True, 5, -0.0, [], ["a"], {}, {"a": 1}]),
)
_PASSWORDS: Final[Strategy[JSON]] = mostly(st.just(PASSWORD), st.sampled_from(PASSWORDS))  # a wrong one takes seconds
_TAGS: Final = st.sampled_from(["*", *(f"<{kind} {index}>" for kind in ("etag", "opaque-tag") for index in range(6))])
_TOKENS: Final = mostly(st.just(TOKEN), st.just(OTHER_TOKEN), share=3)


@st.composite
def probes(draw: st.DrawFn) -> Action:
    """Draw one request."""
    endpoint = draw(st.sampled_from([*ENDPOINTS, REGISTER]))
    target = filled(endpoint.path, tuple(draw(st.sampled_from(REFERENCES[kind])) for kind in endpoint.of))
    headers = (("authorization", f"Bearer {draw(_TOKENS)}"),)
    if endpoint.query:
        target += _query(draw, endpoint)
    if endpoint.method == "GET":
        return _conditional(draw, Action("GET", target, headers))
    body = spelled(_body(draw, endpoint))
    return Action(endpoint.method, target, (*headers, ("content-type", "application/json")), body)


def _conditional(draw: st.DrawFn, action: Action) -> Action:
    """Make a read conditional, or a HEAD, now and then."""
    method = "HEAD" if draw(st.integers(0, 5)) == 0 else "GET"
    headed = Action(method, action.target, action.headers)
    return headed.with_header("if-none-match", draw(_TAGS)) if draw(st.integers(0, 2)) == 0 else headed


def _query(draw: st.DrawFn, endpoint: Endpoint) -> str:
    """Draw a parameter that comes once or twice."""
    name, good = next(iter(endpoint.query.items()))
    values = draw(st.lists(mostly(good, st.sampled_from(_TEXTS), share=3), min_size=1, max_size=2))
    return "?" + "&".join(f"{name}={quote(str(value), safe='')}" for value in values)


def _body(draw: st.DrawFn, endpoint: Endpoint) -> JSON:
    complete = endpoint is REGISTER
    members = [member for member in endpoint.fields.items() if complete or draw(st.integers(0, 9))]
    return {name: _member(draw, endpoint, name, good) for name, good in members}


def _member(draw: st.DrawFn, endpoint: Endpoint, name: str, good: Strategy[JSON]) -> JSON:
    if name == "password":
        return draw(_PASSWORDS)
    if endpoint is REGISTER:
        return draw(good)  # anything else would end the legacy's process
    return draw(mostly(good, _VALUES, share=3))
