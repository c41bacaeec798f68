"""The page of two revisions of native on a route: differences that are new, gone, more or less frequent."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from proxy.ops.pages.report_access import read_reports
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, error_page, filters
from proxy.reports.models import RevisionSummary, Span
from proxy.reports.reader import ReportReader
from proxy.reports.revisions import ReleaseComparison, compare_releases

UNKNOWN: str = "unknown"
"""The name, in URLs, of comparisons whose revision is not known."""


@dataclass(frozen=True, slots=True)
class ReleasesView:
    """The revisions of a route in the span, in order; `comparison` is None if there are fewer than two."""

    route: str
    span: Span
    revisions: tuple[RevisionSummary, ...]
    comparison: ReleaseComparison | None


def releases(process: ProcessView) -> Endpoint:
    """Return the endpoint of the page. `before` and `after` in the URL name revisions; default: the newest two."""

    async def show(request: Request) -> Response:
        chosen, route = filters(request), request.path_params["route"]
        before = request.query_params.get("before")
        after = request.query_params.get("after")

        async def read(reports: ReportReader) -> ReleasesView:
            revisions = await reports.revisions(chosen.span, route)
            pair = _pair(revisions, before, after)
            comparison = await compare(reports, chosen.span, route, *pair) if pair else None
            return ReleasesView(route, chosen.span, revisions, comparison)

        view, unavailable = await read_reports(process.database, read)
        if view is None:
            assert unavailable is not None
            return error_page(request, 503, unavailable.title, unavailable.text)
        return await answer(request, "releases.html", view, area="/comparisons", filters=chosen)

    return show


async def compare(
    reports: ReportReader, span: Span, route: str, before: RevisionSummary, after: RevisionSummary
) -> ReleaseComparison:
    """Read and compare the differences of two revisions."""
    fields = [await reports.fields(span, route, one.revision) for one in (before, after)]
    return compare_releases(before, after, fields[0], fields[1])


def _pair(
    revisions: tuple[RevisionSummary, ...], before: str | None, after: str | None
) -> tuple[RevisionSummary, RevisionSummary] | None:
    """Return the revisions by name, by default the newest one and the one before it."""
    by_name = {one.revision or UNKNOWN: one for one in revisions}
    last = by_name.get(after or "") or (revisions[-1] if revisions else None)
    earlier = [one for one in revisions if one is not last]
    first = by_name.get(before or "") or (earlier[-1] if earlier else None)
    return (first, last) if first is not None and last is not None else None
