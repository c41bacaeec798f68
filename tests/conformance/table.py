"""The counts by family and the cases on which the gateway and nginx differ, as docs/conformance.md has them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.conformance.case import Case
from tests.conformance.judgement import Evidence, Verdict
from tests.conformance.oracle import ClientView, ServerView
from tests.conformance.run import Outcome

HEADING: Final = "| case | source | right | gateway | nginx | Node |"
ROW: Final = re.compile(r"^\| (?P<name>.+?) \| (?:RFC|WHATWG)", re.MULTILINE)
FAMILY: Final = re.compile(r"^## (?P<family>.+)\n\n(?P<number>\d+) cases", re.MULTILINE)
STATUS: Final = re.compile(rb"^HTTP/1\.1 (\d{3})", re.MULTILINE)
DEPTHS: Final = {
    "quick": "This run sampled the splits: at most 9 of a case, around its last line ends and at its quarters.",
    "thorough": "This run made every split.",
}
INTRODUCTION: Final = """# HTTP/1.1 conformance

`make conformance` writes this page. Each case consists of a client's bytes, an upstream's answer, and the outcome that
the standard requires (`tests/conformance/cases/`). The bytes are delivered in several ways:

- The gateway gets them whole, byte by byte, and split at every boundary (over 2,000 bytes: around the first 50 line
  ends and both ends). It also gets them joined to a well-formed request, or to an answer that was not requested.
- nginx (`proxy_request_buffering off`, `proxy_buffering off`) gets them whole and joined.
- A well-formed request follows on the same connection, and another one on a new connection.
- Node's own server then reads exactly the bytes that reached the upstream.

Each family has a table of the cases in which the gateway and nginx answer differently. A cell shows the statuses that
the client reads when the bytes come whole, and in parentheses the requests that the upstream reads. The worst verdict
of all deliveries precedes them, unless it is *right*:

- *other*: in step, but not the outcome of the case. The gateway must give exactly the status of the case; from nginx
  any refusal is accepted.
- *hung*: within 15 s the client gets neither an answer nor the end of its connection.
- *out of step*: requests and answers no longer correspond. A client reads another's answer, an answer that was not
  requested, or bytes that are not HTTP. Or a well-formed request does not get its own answer. Or the upstream, as Node
  reads its bytes, gets a request that was hidden in a body, or one that the gateway has no record of forwarding.

*Worse than nginx* counts the cases in which the gateway's verdict comes later than nginx's in the order right, other,
hung, out of step. The column *Node* shows Node's own server on the client's bytes, or its client on the answer's.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One case with what each party did."""

    case: Case
    gateway: Outcome
    nginx: Outcome
    node: str

    @property
    def is_worse(self) -> bool:
        return self.gateway.finding.verdict > self.nginx.finding.verdict

    @property
    def differs(self) -> bool:
        """True if the gateway and nginx have different cells, or the gateway's outcome is not right."""
        return bool(self.gateway.finding.verdict) or _render_outcome(self.gateway) != _render_outcome(self.nginx)


def render(rows: Sequence[Row], websocket: str, depth: str) -> str:
    """Return the page. `websocket`: the section on WebSockets. `depth`: how many splits were made."""
    families: dict[str, list[Row]] = {}
    for row in rows:
        families.setdefault(row.case.family, []).append(row)
    sections = [_render_family(family, of_it) for family, of_it in families.items()]
    return "\n".join([INTRODUCTION, _render_summary(rows, depth), *([websocket] if websocket else []), *sections])


def family_sizes(page: str) -> dict[str, int]:
    """Return the number of cases of each family that a page counts."""
    return {match["family"]: int(match["number"]) for match in FAMILY.finditer(page)}


def case_names(page: str) -> list[str]:
    """Return the names of the cases that a page shows, as `family: name`."""
    names = []
    for section in page.split("\n## ")[1:]:
        family, _, rest = section.partition("\n")
        names += [f"{family}: {_unescape(match['name'])}" for match in ROW.finditer(rest)]
    return names


def _render_summary(rows: Sequence[Row], depth: str) -> str:
    worse = [row for row in rows if row.is_worse]
    known = [row for row in rows if row.case.known]
    lines = [
        "| | gateway | nginx |",
        "|---|--:|--:|",
        f"| cases | {len(rows)} | {len(rows)} |",
        f"| deliveries | {_count_deliveries(row.gateway for row in rows)} "
        f"| {_count_deliveries(row.nginx for row in rows)} |",
        *[
            f"| {verdict.label} | {_count(verdict, (row.gateway for row in rows))} "
            f"| {_count(verdict, (row.nginx for row in rows))} |"
            for verdict in Verdict
        ],
        "",
        f"Worse than nginx: {len(worse)}. Known faults of the gateway: {len(known)}.",
        "",
        DEPTHS[depth],
        "",
    ]
    return "\n".join(lines)


def _count_deliveries(outcomes: Iterable[Outcome]) -> str:
    return f"{sum(len(outcome.findings) for outcome in outcomes):,}"


def _count(verdict: Verdict, outcomes: Iterable[Outcome]) -> int:
    return sum(outcome.finding.verdict is verdict for outcome in outcomes)


def _render_family(family: str, rows: Sequence[Row]) -> str:
    shown = [_render_row(row) for row in rows if row.differs]
    count = f"{len(rows)} cases; the gateway and nginx answer {len(rows) - len(shown)} of them alike."
    return "\n".join([f"## {family}", "", count, "", HEADING, "|---|---|---|---|---|---|", *shown, ""])


def _render_row(row: Row) -> str:
    case = row.case
    gateway = _render_outcome(row.gateway) + (" (known fault)" if case.known else "")
    name = case.name.removeprefix(f"{case.family}: ")
    cells = [_escape(name), case.section, _render_right(case), gateway, _render_outcome(row.nginx), _escape(row.node)]
    return "| " + " | ".join(cells) + " |"


def _render_right(case: Case) -> str:
    if case.leaves:
        return "–"
    right = show(case.returns, [request.split(b" ")[0] for request in case.reaches])
    return right + (", or refused" if case.or_refused and case.reaches else "")


def _render_outcome(outcome: Outcome) -> str:
    verdict = outcome.finding.verdict
    label = f"**{verdict.label}** " if verdict else ""
    return (label + _render_evidence(outcome.evidence[0])).strip()


def _render_evidence(evidence: Evidence) -> str:
    talk = evidence.conversation
    if talk.case.leaves:
        return "–"
    reached = [read.method for read in evidence.reached if b"innocent" not in read.target and read.complete]
    return "not HTTP" if talk.malformed else show([answer.status for answer in talk.answers], reached)


def show(statuses: Iterable[int], methods: Iterable[bytes]) -> str:
    """Return a cell: the statuses returned, and the methods of the requests that reach the upstream."""
    return f"{_runs([str(status) for status in statuses])} ({_runs([method.decode('latin-1') for method in methods])})"


def _runs(words: Sequence[str]) -> str:
    if len(words) > 4 and len(set(words)) == 1:
        return f"{len(words)} × {words[0]}"
    return " ".join(words) or "nothing"


def show_server(view: ServerView) -> str:
    """Return the cell of Node's server."""
    statuses = [int(status) for status in STATUS.findall(view.answers) if int(status) >= 200]
    return show(statuses, [request.method for request in view.requests if request.complete])


def show_client(view: ClientView) -> str:
    """Return the cell of Node's client."""
    if view.error and not view.complete:
        return f"{view.status or 'nothing'}, {view.error}"
    return f"{view.status}, {len(view.body)} B" + (f", then {view.error}" if view.error else "")


def _escape(text: str) -> str:
    """Return a text as it can stand in a cell."""
    return re.sub(r"([|\\`<>*_\[\]])", r"\\\1", printable(text))


def printable(text: str) -> str:
    """Return a text with control characters as Python writes them."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _unescape(text: str) -> str:
    return re.sub(r"\\([|\\`<>*_\[\]])", r"\1", text)


def summarise_websocket(summary: Mapping[str, int]) -> str:
    """Return the section on WebSockets from the counts of its own harness."""
    lines = ["## WebSocket", "", *[f"- {name}: {count}" for name, count in summary.items()], ""]
    return "\n".join(lines)
