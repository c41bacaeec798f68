"""The page of one comparison: both answers side by side, redacted, with differences marked."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from proxy.ops.pages.report_access import read_reports
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, error_page
from proxy.reports.models import Sample
from proxy.reports.side_by_side import SideBySideRow, only_near, rows


@dataclass(frozen=True, slots=True)
class SampleView:
    """A sample. `rows` are both answers: the rows near a difference, or all of them (`whole`).

    `replaced`: the id of the requested sample, if that was removed and this is one of the same difference.
    """

    sample: Sample
    rows: tuple[SideBySideRow, ...]
    whole: bool
    replaced: str | None = None


def sample(process: ProcessView) -> Endpoint:
    """Return the endpoint of a sample's page."""

    async def show(request: Request) -> Response:
        name: str = request.path_params["sample"]
        stored, unavailable = await read_reports(process.database, lambda reports: reports.sample(name))
        if unavailable is not None:
            return error_page(request, 503, unavailable.title, unavailable.text)
        if stored is None:
            return await _instead(process, request, name)
        both = rows(stored)
        near = () if request.query_params.get("rows") == "all" else only_near(both)
        view = SampleView(stored, near or both, not near, request.query_params.get("instead"))
        return await answer(request, "sample.html", view, area="/comparisons")

    return show


async def _instead(process: ProcessView, request: Request, name: str) -> Response:
    """Redirect from a removed sample to the newest one of the same difference."""
    newest, _ = await read_reports(process.database, lambda reports: reports.newest_sample_instead(name))
    if newest is None:
        return error_page(
            request, 404, "Sample not found", "It was removed, and no newer one of its difference is stored."
        )
    json = ".json" if request.url.path.endswith(".json") else ""
    return RedirectResponse(f"/samples/{newest}{json}?{urlencode({'instead': name})}", 303)
