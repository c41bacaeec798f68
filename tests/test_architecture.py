"""The parts of the architecture that import-linter (`make lint`, contracts in pyproject.toml) cannot express."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.source_modules import source_module

ROOT = Path(__file__).parent.parent
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
PURE: list[str] = next(
    contract["source_modules"] for contract in CONTRACTS if contract["name"].startswith("Pure modules")
)
LAYERS: list[str] = [
    name
    for contract in CONTRACTS
    if contract["type"] == "layers"
    for layer in contract["layers"]
    for name in re.split(r"[\s:|]+", layer)
]
PACKAGES = ("common", "proxy", "handlers")
LOADED = {
    "common.background_tasks": 3,
    "common.growing_text": 2,
    "proxy.gateway.request_record": 10,
    "proxy.gateway.errors": 5,
    "proxy.gateway.patterns": 3,
    "proxy.gateway.client_address": 3,
    "proxy.comparison.verdicts": 8,
    "proxy.types": 2,
    "proxy.websocket.frames": 3,
    "proxy.server.timeouts": 3,
    "proxy.config.environment": 3,
}
"""The most modules of this project that importing a pure module may load, itself and its packages among them."""


def files(module: str) -> list[Path]:
    path = ROOT / module.replace(".", "/")
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imported(file: Path) -> Iterator[str]:
    return (each.module for each in source_module(file).imports)


def test_pure_modules_import_only_types_of_starlette() -> None:
    sources = {file for module in PURE for file in files(module)}
    imports = {(file, name) for file in sources for name in imported(file) if name.split(".")[0] == "starlette"}
    assert {(file, name) for file, name in imports if name != "starlette.types"} == set()


@pytest.mark.parametrize("module", sorted(LOADED))
def test_importing_a_pure_module_loads_few_others(module: str) -> None:
    script = f"import sys, {module}; print(*(name for name in sys.modules if name.split('.')[0] in {PACKAGES}))"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert len(output.stdout.split()) <= LOADED[module], output.stdout


def test_every_module_of_the_proxy_is_in_a_layer() -> None:
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in (ROOT / "proxy").rglob("*.py")
        if file.name != "__init__.py"
    ]
    layered = tuple(f"{name}." for name in LAYERS if name != "proxy")
    assert not [module for module in modules if not f"{module}.".startswith(layered)]


def test_package_inits_of_the_proxy_import_nothing_of_it() -> None:
    loading = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "proxy").rglob("__init__.py")
        if any(name.startswith("proxy.") for name in imported(file))
    ]
    assert set(loading) <= {"proxy/server/__init__.py", "proxy/shadow/__init__.py", "proxy/backends/legacy/__init__.py"}
