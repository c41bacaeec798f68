"""The page of one difference: its state, the revisions that have it, its samples; triage and pins of samples.

`POST /differences/ID` sets the state, `POST /samples/ID/pin` pins a sample (`pinned=yes`) or unpins it. The actor is
the session's user; a client with a bearer token names it (`actor`). `version` is that of the state that the page
showed: a mark on another version is refused.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route as Path

from proxy.database.database import Conflict, Database, DatabaseError
from proxy.ops.access import principal_of
from proxy.ops.filters import Filters
from proxy.ops.pages.report_access import Unavailability, read_reports
from proxy.ops.pages.session import FOREIGN_FORM, read_form, refused_form
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, error_page, filters, paged, wants_json
from proxy.reports.models import SampleHead, Span
from proxy.reports.reader import ReportReader
from proxy.reports.registry import DifferenceRegistry, UnknownDifference
from proxy.reports.revisions import GoneSince, RevisionLine, gone_since, revision_lines
from proxy.reports.storage import Storage
from proxy.reports.triage import InvalidMark, Mark, State, TrackedDifference

MAX_LISTED: Final = 20
"""Number of samples on the page."""
Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DifferenceView:
    """A difference. `count` and `revisions` are of the span; `samples` are the newest, the first and pinned ones."""

    difference: TrackedDifference
    span: Span
    count: int
    revisions: tuple[RevisionLine, ...]
    gone_since: GoneSince | None
    samples: tuple[SampleHead, ...]


def difference_routes(process: ProcessView) -> list[Path]:
    """Return the routes of a difference's page, of its triage, and of the pins of samples."""
    return [
        Path("/differences/{difference}", _set_state(process), methods=["POST"]),
        Path("/samples/{sample}/pin", _pin(process), methods=["POST"]),
        *paged("/differences/{difference}", _show(process)),
    ]


def _set_state(process: ProcessView) -> Endpoint:
    async def mark(request: Request) -> Response:
        identity: str = request.path_params["difference"]

        async def change(database: Database, form: Form, actor: str) -> Response:
            marked = await DifferenceRegistry(database).mark(
                identity,
                cast("State", form.get("state", "")),
                _mark(form, actor),
                int(form["version"]) if form.get("version") else None,
            )
            if wants_json(request):
                return JSONResponse({"id": identity, "state": marked.state, "version": marked.version})
            return RedirectResponse(f"/differences/{identity}", 303)

        return await _change(process, request, change)

    return mark


def _pin(process: ProcessView) -> Endpoint:
    async def pin(request: Request) -> Response:
        identity: str = request.path_params["sample"]

        async def change(database: Database, form: Form, actor: str) -> Response:
            if not await Storage(database).pin_sample(identity, pinned=form.get("pinned") == "yes"):
                return error_page(request, 404, "Sample not found", "It has been removed meanwhile.")
            return RedirectResponse(f"/samples/{identity}", 303) if not wants_json(request) else JSONResponse({})

        return await _change(process, request, change)

    return pin


def _show(process: ProcessView) -> Endpoint:
    async def show(request: Request) -> Response:
        identity, chosen = request.path_params["difference"], _filters(request)

        async def read(reports: ReportReader) -> DifferenceView | None:
            stored = await reports.difference(identity)
            return await _view(reports, stored, chosen.span) if stored is not None else None

        view, unavailable = await read_reports(process.database, read)
        if view is None:
            return _missing(request, unavailable)
        return await answer(request, "difference.html", view, area="/comparisons", filters=chosen)

    return show


def _filters(request: Request) -> Filters:
    """Return the filters of the URL; by default the last 30 days, because a difference spans releases."""
    query = request.query_params
    return filters(request) if query.get("last") or query.get("from") else Filters.of({"last": "30d"}, time.time())


async def _view(reports: ReportReader, difference: TrackedDifference, span: Span) -> DifferenceView:
    counts = await reports.field_revisions(span, difference.route, difference.field, difference.kind)
    lines = revision_lines(await reports.revisions(span, difference.route), counts)
    everything = Span(0, time.time() + 86_400)
    samples = await reports.samples(everything, difference.route, difference.field, difference.kind, limit=MAX_LISTED)
    total = sum(count.count for count in counts.values())
    return DifferenceView(difference, span, total, lines, gone_since(lines), samples)


def _mark(form: Form, actor: str) -> Mark:
    return Mark(
        "new",
        time.time(),
        actor,
        form.get("reason", "").strip(),
        form.get("ticket", "").strip(),
        form.get("revision", "").strip() or None,
    )


async def _change(
    process: ProcessView, request: Request, change: Callable[[Database, Form, str], Awaitable[Response]]
) -> Response:
    """Carry out a change by a form, if the principal may triage."""
    form, principal = await read_form(request), principal_of(request)
    if not principal.may_triage:
        return refused_form(request, form, 403, "OPS_TOKEN is not set.")
    if not principal.has_sent(form.get("form", "")):
        return refused_form(request, form, 403, FOREIGN_FORM)
    if process.database is None:
        return refused_form(request, form, 503, "No MongoDB stores the reports.")
    try:
        return await change(process.database, form, principal.name or form.get("actor", "").strip())
    except UnknownDifference:
        return refused_form(request, form, 404, "No difference has this id.")
    except (InvalidMark, ValueError) as error:
        return refused_form(request, form, 400, str(error))
    except Conflict as error:
        return refused_form(request, form, 409, str(error))
    except DatabaseError as error:
        return refused_form(request, form, 503, str(error))


def _missing(request: Request, unavailable: Unavailability | None) -> Response:
    if unavailable is not None:
        return error_page(request, 503, unavailable.title, unavailable.text)
    return error_page(
        request, 404, "Difference not found", "It was never observed, or not for as long as reports are stored."
    )
