"""Stateful sequences: Schemathesis' state machine follows the contract's links, on the two backends of an execution.

Each scenario of the machine is one execution: its requests go to the legacy, whose answers feed the links; at its end
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
    """The search that a machine belongs to."""

    def begin(self, documents: Documents) -> None:
        """Start an execution."""

    def send(self, request: FuzzRequest) -> DecodedAnswer:
        """Put a request of the execution to the legacy."""

    def finish(self) -> None:
        """Play the execution to the native app; raises where it shows a new kind of difference."""


def machine_for(
    schema: BaseSchema,
    host: ExecutionHost,
    documents: st.SearchStrategy[Documents],
    headers: st.SearchStrategy[Headers],
) -> type[APIStateMachine]:
    """Return the contract's state machine, bound to a search; raises `NoLinksFound` when it runs without links."""
    base: Any = schema.as_state_machine()

    class DifferentialMachine(base):  # type: ignore[misc]
        """One scenario of linked requests."""

        added_headers: Headers = ()
        has_begun = False

        @initialize(before=documents, added=headers)
        def begin(self, before: Documents, added: Headers) -> None:
            """Start an execution; all requests of a scenario have the same added headers."""
            self.added_headers = added
            host.begin(before)
            self.has_begun = True

        def call(self, case: Case[Any], **kwargs: Any) -> Response:
            """Put a request to the legacy; its answer feeds the links."""
            return _response(host.send(request_of(case, self.added_headers)))

        def validate_response(self, *args: Any, **kwargs: Any) -> None:
            """Check nothing: answers are compared with the other backend's."""

        def teardown(self) -> None:
            """Play the execution to the native app and judge it."""
            if self.has_begun:
                host.finish()

    return DifferentialMachine


def _response(answer: DecodedAnswer) -> Response:
    """Return an answer as Schemathesis has it; a hang or a reset is a 504."""
    sent = requests.Request("GET", BASE_URL).prepare()
    headers = {name: [value] for name, value in answer.headers.items()}
    return Response(answer.status or _NO_ANSWER, headers, answer.body, sent, elapsed=0.0, verify=False)
