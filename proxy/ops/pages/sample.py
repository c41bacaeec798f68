"""One comparison: both answers beside each other, redacted, with what differs marked."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from proxy.ops.pages.report_access import ask
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, error_page
from proxy.ops.side_by_side import SideBySideRow, only_near, rows
from proxy.reports.models import Sample


@dataclass(frozen=True, slots=True)
class SampleView:
    """`rows` are both answers, `whole` or only what is near a difference."""

    sample: Sample
    rows: tuple[SideBySideRow, ...]
    whole: bool


def sample(situation: ProcessView) -> Endpoint:
    """The page of one sample."""

    async def show(request: Request) -> Response:
        name: str = request.path_params["sample"]
        found, away = await ask(situation.database, lambda kept: kept.sample(name))
        if away is not None:
            return error_page(request, 503, away.title, away.text)
        if found is None:
            return error_page(request, 404, "There is no such sample", "Of each difference only the newest are kept.")
        whole = request.query_params.get("rows") == "all"
        beside = rows(found)
        view = SampleView(found, beside if whole else only_near(beside), whole)
        return await answer(request, "sample.html", view, area="/")

    return show
