"""One comparison: both answers beside each other, redacted, with what differs marked."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from proxy.ops.beside import Row, only_near, rows
from proxy.ops.pages.kept import ask
from proxy.ops.rendering import Endpoint, answer, trouble
from proxy.ops.situation import Situation
from proxy.reports.views import Sample


@dataclass(frozen=True, slots=True)
class SampleView:
    """`rows` are both answers, `whole` or only what is near a difference."""

    sample: Sample
    rows: tuple[Row, ...]
    whole: bool


def sample(situation: Situation) -> Endpoint:
    """The page of one sample."""

    async def show(request: Request) -> Response:
        name: str = request.path_params["sample"]
        found, away = await ask(situation.database, lambda kept: kept.sample(name))
        if away is not None:
            return trouble(request, 503, away.title, away.text)
        if found is None:
            return trouble(request, 404, "There is no such sample", "Of each difference only the newest are kept.")
        whole = request.query_params.get("rows") == "all"
        beside = rows(found)
        view = SampleView(found, beside if whole else only_near(beside), whole)
        return await answer(request, "sample.html", view, area="/")

    return show
