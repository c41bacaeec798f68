"""Records of one request, for access log, metrics and guards.

A `RequestRecord` is the result of serving a request, a `ComparisonRecord` that of running it on the other backend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.comparison.verdicts import CountName, Reason
from proxy.types import Backend

CLIENT_CLOSED_REQUEST = 499
"""The status recorded for a client that disconnected before an answer began (nginx's convention). It is never sent."""


@dataclass(slots=True)  # not frozen, because creating a frozen one of this size takes three times as long
class RequestRecord:
    """The result of one request, without its content: no path, query, header or body.

    `route` and `template` are None if no route matched, `bucket` if none was needed. `failure` is the code of an
    `errors.Failure`, and `cause` the connection fault behind it, also if native took over. `dependency` is the
    failed dependency that native reports: `database`, `model` or `terminology`. `head` and `total` are seconds until
    the answer began and ended. `caller` is the caller's identity on routes with a guard, see `callers`. `declared`: a
    declared divergence describes native's 4xx.
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
    """The verdict on requests chosen for comparison; `reason` if it is `skipped`."""

    route: str
    served: Backend
    verdict: CountName
    reason: Reason | None = None
    number: int = 1
    caller: int | None = None


ComparisonObserver = Callable[[ComparisonRecord], None]
