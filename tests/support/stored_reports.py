"""Reports of a day in MongoDB, and `scribe-proxy report` over them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from pydantic import SecretStr

from proxy.cli.main import main
from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.config.service_models import ReportSettings as Settings
from proxy.contract.divergences import Divergence
from proxy.contract.model import Contract, Operation
from proxy.database.database import Database
from proxy.gateway.request_record import RequestRecord
from proxy.reports.events import ComparisonEvent, ReplayEvent, SkippedEvent
from proxy.reports.writer import ReportWriter
from proxy.types import JSON
from tests.support.exchanges import answered, exchange

DATABASE = f"test_report_command_{os.getpid()}"
"""A database of this process."""
NOTES = "notes.list"
CONTRACT = """
openapi: 3.1.1
info: {title: Notes, version: '1'}
paths:
  /api/notes:
    get:
      operationId: notes.list
      responses:
        '200':
          description: OK
          content:
            application/json:
              schema:
                type: object
                properties:
                  notes:
                    type: array
                    items:
                      type: object
                      properties:
                        _id: {type: string}
                        title: {type: string}
                        status: {enum: [active, ended], x-report: show}
                        tags: {type: array, items: {type: string}}
                        seen: {anyOf: [{type: integer}, {type: 'null'}]}
        '404':
          description: Not found
"""
DIVERGENCES = """
- id: no-status
  operation: GET /api/notes
  legacy: tells the status
  native: keeps it
  reason: nobody reads it
  since: 0.1.0
  when: {paths: [body.notes.*.status]}
- id: never-seen
  operation: GET /api/notes
  legacy: a
  native: b
  reason: c
  since: 0.1.0
  when: {legacy: {status: 500}}
"""


def listed(**note: JSON) -> Exchange:
    note = {"_id": "1", "title": "Agnes", "status": "active", "tags": ["a", "b"], "seen": 1, **note}
    return answered({"notes": [{name: value for name, value in note.items() if value is not None}]})


async def write_reports(url: str, contract: Contract, declared: tuple[Divergence, ...]) -> None:
    database = Database(url, DATABASE)
    reports = ReportWriter(database, Settings(key=SecretStr("sixteen-characters-or-more")))
    operation = contract.named("notes.list")
    for native in (listed(), listed(title="Bert"), listed(title="Bert"), listed(tags=["b", "a"]), listed(status=None)):
        reports.record(_comparison(NOTES, operation, listed(), native, declared))
    reports.record(_comparison(NOTES, operation, listed(), answered({}, status=404), declared))
    reports.record(_comparison(NOTES, operation, listed(), listed(title=1), declared))
    reports.record(_comparison(NOTES, operation, listed(), answered({"notes": [], "Agnes": 1}), declared))
    reports.record(_comparison(NOTES, operation, listed(seen=1), listed(seen=2), declared))
    reports.record(_comparison(NOTES, operation, listed(seen="x"), listed(seen="x"), declared))
    for again in (listed(seen=5), listed(tags=["b", "a"]), listed()):
        reports.record(ReplayEvent(NOTES, operation, compare(listed(), again, operation), listed(), again))
    for _ in range(1000):
        reports.record(_comparison("quiet", None, listed(), listed(), ()))
    reports.record(_comparison("quiet", None, listed(), exchange(outcome="hang"), ()))
    reports.record(SkippedEvent("blind", "legacy", "hidden"))
    reports.record(SkippedEvent("blind", "legacy", "timeout"))
    reports.observe(RequestRecord("1", "http", "GET", NOTES, "/", "native", "share", 1, 200, None, 0.1, 0.1))
    await reports.flush()
    await database.close()


def _comparison(
    route: str, operation: Operation | None, legacy: Exchange, native: Exchange, declared: tuple[Divergence, ...]
) -> ComparisonEvent:
    return ComparisonEvent(route, operation, "legacy", compare(legacy, native, operation, declared), legacy, native)


async def drop_reports(url: str) -> None:
    database = Database(url, DATABASE)
    await database.command({"dropDatabase": 1})
    await database.close()


def report(url: str, contracts: Path, *arguments: object) -> Result:
    around = ["--mongodb-url", url, "--database", DATABASE, "--contracts", contracts, "--config", contracts / "none"]
    return CliRunner().invoke(main, [str(one) for one in ["report", *around, *arguments]])


def report_json(url: str, contracts: Path, *arguments: object) -> Any:
    result = report(url, contracts, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def row(output: str, name: str) -> list[str]:
    return next(line.split() for line in output.splitlines() if line.split()[:1] == [name])
