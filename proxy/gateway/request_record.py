"""What is noted of one request, once: for the access log, the metrics, and what guards a rollout.

An `Observation` is what came of serving it, a `Compared` what came of running it on the other side, some time later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.comparison.verdicts import Name, Reason
from proxy.types import Backend

CLIENT_CLOSED_REQUEST = 499
"""The status noted for a client that left before an answer began (nginx's convention); nobody receives it."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request as it went. Holds nothing of its content: no path, query, header or body.

    `route` and `template` are None where no route matched; `bucket` is None where none was needed; `failure` is the
    code of a `failures.Failure`, and `cause` names the connection fault behind it, also where native took over.
    `dependency` is the one that native says it failed for want of: `database`, `model` or `terminology`. `head` and
    `total` are seconds until the answer began and ended. `caller` is the identity of its caller on routes with a guard,
    see `callers`. `declared`: native's 4xx is one that the declared divergences say that it gives.
    """

    request_id: str
    kind: str
    method: str
    route: str | None
    template: str | None
    backend: str
    reason: str
    bucket: int | None
    status: int
    failure: str | None
    head: float
    total: float
    cause: str | None = None
    dependency: str | None = None
    caller: int | None = None
    declared: bool = False


Observer = Callable[[RequestRecord], None]


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """Requests that were to run in the shadow, and the verdict on each; `reason` where it is `skipped`."""

    route: str
    served: Backend
    verdict: Name
    reason: Reason | None = None
    number: int = 1
    caller: int | None = None


ComparisonObserver = Callable[[ComparisonRecord], None]
