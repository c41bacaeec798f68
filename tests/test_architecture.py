"""Imports point down, and what is called pure does no I/O: read from the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {"proxy": {"handlers", "demo", "tests", "bench"}, "handlers": {"proxy", "demo", "tests", "bench"}}
DOING_IO = {
    "aiohttp", "asyncio", "bcrypt", "httpx", "motor", "openai", "os", "pymongo", "requests", "socket", "ssl",
    "starlette", "subprocess", "uvicorn",
}  # fmt: skip
PURE = [
    "proxy/gateway/routing.py",
    "proxy/gateway/bucketing.py",
    "proxy/gateway/patterns.py",
    "proxy/gateway/errors.py",
    "proxy/gateway/client_address.py",
    "proxy/gateway/forwarding.py",
    "proxy/server/proxy_header.py",
    "proxy/gateway/cookies.py",
    "proxy/gateway/preflight.py",
    "proxy/gateway/sticky_cookie.py",
    "proxy/gateway/request_record.py",
    "proxy/backends/legacy/endpoint.py",
    "proxy/backends/legacy/framing.py",
    "proxy/backends/legacy/headers.py",
    "proxy/backends/legacy/request.py",
    "proxy/types.py",
    "proxy/comparison",
    "proxy/config/diff.py",
    "proxy/rollout/analysis",
    "proxy/rollout/model.py",
    "proxy/rollout/shares.py",
    "proxy/rollout/transitions.py",
    "proxy/rollout/progress.py",
    "proxy/reports/models.py",
    "proxy/reports/events.py",
    "proxy/contract/disclosure.py",
    "proxy/reports/redaction.py",
    "proxy/reports/exports.py",
    "proxy/reports/counter_keys.py",
    "proxy/reports/samples.py",
    "proxy/reports/suggestions.py",
    "proxy/reports/summaries.py",
    "proxy/reports/counters.py",
    "proxy/capture/pseudonyms.py",
    "proxy/capture/anonymizer.py",
    "proxy/ops/attempts.py",
    "proxy/ops/side_by_side.py",
    "proxy/ops/charts.py",
    "proxy/ops/filters.py",
    "proxy/ops/hosts.py",
    "proxy/ops/masking.py",
    "proxy/ops/formatting.py",
    "proxy/server/drain.py",
    "proxy/websocket/frames.py",
    "proxy/websocket/heartbeat.py",
    "proxy/websocket/messages.py",
    "proxy/server/body.py",
    "proxy/server/head_parser.py",
    "proxy/server/refusal.py",
    "proxy/server/request_head.py",
    "proxy/server/response.py",
    "proxy/server/timeouts.py",
    "proxy/contract/model.py",
    "proxy/contract/schemas.py",
    "proxy/contract/inferred_schema.py",
    "proxy/contract/payloads.py",
    "proxy/contract/rules.py",
    "proxy/config/field_types.py",
    "proxy/config/models.py",
    "proxy/config/rules.py",
    "handlers/legacy/javascript",
    "handlers/legacy/mongoose",
    "handlers/legacy/models.py",
    "handlers/legacy/buffers.py",
    "handlers/legacy/model_errors.py",
    "handlers/services/images.py",
    "handlers/services/documents.py",
    "handlers/v1/document_readers.py",
    "proxy/docs/merging.py",
    "handlers/legacy/express/query.py",
    "handlers/legacy/express/etag.py",
    "handlers/legacy/express/paths.py",
]
TYPES_ONLY = {"starlette.types"}


def modules(place: str) -> list[Path]:
    path = ROOT / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def imported(file: Path) -> Iterator[str]:
    package = ".".join(file.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            yield ".".join(part for part in (base, node.module) if part)


@pytest.mark.parametrize("side", FORBIDDEN)
def test_no_side_knows_the_other(side: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in modules(side)
        for name in imported(file)
        if name.split(".")[0] in FORBIDDEN[side]
    ]
    assert not wrong


@pytest.mark.parametrize("place", PURE)
def test_pure_modules_do_no_io(place: str) -> None:
    files = modules(place)
    assert files
    assert all(file.exists() for file in files), place
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in imported(file)
        if name.split(".")[0] in DOING_IO and name not in TYPES_ONLY
    ]
    assert not wrong


@pytest.mark.parametrize(("dialect", "other"), [("handlers/v1", "handlers.legacy"), ("handlers/legacy", "handlers.v1")])
def test_no_dialect_knows_the_other(dialect: str, other: str) -> None:
    found = [(file.relative_to(ROOT), name) for file in modules(dialect) for name in imported(file)]
    assert not [(file, name) for file, name in found if name.startswith(other)]


@pytest.mark.parametrize(
    ("side", "module"), [("handlers", "handlers/storage/store.py"), ("proxy", "proxy/runtime/database.py")]
)
def test_motor_is_reached_in_one_module(side: str, module: str) -> None:
    reaching = {
        str(file.relative_to(ROOT))
        for file in modules(side)
        if any(name.split(".")[0] == "motor" for name in imported(file))
    }
    assert reaching == {module}
