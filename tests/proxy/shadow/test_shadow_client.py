"""The gateway's part of the shadow without a worker: reloads, and results of requests."""

from __future__ import annotations

from pathlib import Path

from proxy.config.loading import parse
from proxy.gateway.request_record import ComparisonRecord
from proxy.shadow import ShadowClient
from proxy.shadow.load_shedder import MAX_FLOORS
from proxy.shadow.messages import Compared
from proxy.shadow.pending import PendingRequest

TEXT = "legacy: {{url: http://x}}\nshadow: {{websocket: {{max_held: {}}}}}\n"


def client(records: list[ComparisonRecord]) -> ShadowClient:
    return ShadowClient(parse(TEXT.format("4MiB"), {}), Path("nowhere"), [records.append], None)


async def test_reload_changes_the_memory_of_recorded_conversations() -> None:
    shadow = client([])
    assert shadow._conversations.limit == 4 << 20
    shadow.apply_config(parse(TEXT.format("2MiB"), {}))
    assert shadow._conversations.limit == 2 << 20
    await shadow.stop()


async def test_route_takes_precedence_until_a_request_of_it_was_compared() -> None:
    records: list[ComparisonRecord] = []
    shadow = client(records)

    def finish(route: str, verdict: Compared) -> None:
        number = shadow._pending.add(PendingRequest(route, "legacy", 1), 1)
        assert number is not None
        shadow._handle(verdict._replace(number=number))

    skipped, match = Compared(0, "skipped", "timeout"), Compared(0, "match", None)
    for number in range(2 * MAX_FLOORS):
        finish(f"compared {number}", match)
    finish("skipped", skipped)
    admitted = [shadow._floors.is_due(f"compared {number}") for number in range(2 * MAX_FLOORS)]
    assert admitted.count(True) >= MAX_FLOORS  # more if a second ends meanwhile
    assert shadow._floors.is_due("skipped")
    await shadow.stop()
    assert [record.number for record in records if record.verdict == "skipped"] == [1]
