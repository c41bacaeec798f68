"""Stateful sequences: Schemathesis' state machine follows the contract's links on the two backends of an execution.

Each scenario of the machine is one execution. Its requests are sent to legacy, whose answers feed the links; at the end
the recording is played to the native app. A new kind of difference fails the scenario, and Hypothesis shrinks it.
"""

from __future__ import annotations

from typing import Any, Protocol

import requests
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from schemathesis import Case
from schemathesis.core.transport import Response
from schemathesis.generation.stateful.state_machine import APIStateMachine
from schemathesis.schemas import BaseSchema

from proxy.comparison.answers import DecodedAnswer
from proxy.fuzz.contract_cases import BASE_URL, request_of
from proxy.fuzz.execution import Documents
from proxy.fuzz.plugin import Headers
from proxy.fuzz.requests import FuzzRequest

_NO_ANSWER = 504


class ExecutionHost(Protocol):
    """The search that runs a machine."""

    def begin(self, documents: Documents) -> None:
        """Start an execution."""

    def send(self, request: FuzzRequest) -> DecodedAnswer:
        """Send a request of the execution to legacy."""

    def finish(self) -> None:
        """Play the execution to the native app. Raises for a new kind of difference."""


class _LinkedScenario:
    """One scenario of linked requests: the part of a machine that does not depend on the search."""

    _host: ExecutionHost | None = None
    _added_headers: Headers = ()

    def begin_execution(self, host: ExecutionHost, before: Documents, added: Headers) -> None:
        """Start an execution; all requests of a scenario get the same additional headers."""
        self._added_headers = added
        host.begin(before)
        self._host = host

    def call(self, case: Case[Any], **kwargs: Any) -> Response:
        """Send a request to legacy; its answer feeds the links."""
        assert self._host is not None
        return _response(self._host.send(request_of(case, self._added_headers)))

    def validate_response(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: answers are compared with the other backend's."""

    def teardown(self) -> None:
        """Play the execution to the native app and compare the answers."""
        if self._host is not None:
            self._host.finish()


def machine_for(
    schema: BaseSchema,
    host: ExecutionHost,
    documents: st.SearchStrategy[Documents],
    headers: st.SearchStrategy[Headers],
) -> type[APIStateMachine]:
    """Return the contract's state machine, bound to a search. Raises `NoLinksFound` when it runs without links."""
    base: Any = schema.as_state_machine()

    class DifferentialMachine(_LinkedScenario, base):  # type: ignore[misc]
        """A scenario whose documents and headers come from the strategies of the search."""

        @initialize(before=documents, added=headers)
        def begin(self, before: Documents, added: Headers) -> None:
            """Start the execution."""
            self.begin_execution(host, before, added)

    return DifferentialMachine


def _response(answer: DecodedAnswer) -> Response:
    """Return an answer as a Schemathesis response; a hang or reset becomes 504."""
    sent = requests.Request("GET", BASE_URL).prepare()
    headers = {name: [value] for name, value in answer.headers.items()}
    return Response(answer.status or _NO_ANSWER, headers, answer.body, sent, elapsed=0.0, verify=False)
