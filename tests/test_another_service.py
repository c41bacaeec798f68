"""The commands of docs/another-service.md work, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.ports import free_port

PAGE = Path(__file__).parents[1] / "docs" / "another-service.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def script() -> str:
    """Return the page's commands with free ports in place of the default ones."""
    legacy, public, ops = free_port(), free_port(), free_port()
    text = "\n".join(BLOCK.findall(PAGE.read_text()))
    for default, port in (("4700", legacy), ("8000", public), ("8001", ops)):
        text = text.replace(default, str(port))
    text = text.replace("scribe-proxy serve", f"scribe-proxy serve --port {public} --ops-port {ops}")
    return text.replace("scribe-proxy status", f"scribe-proxy status --ops-url http://127.0.0.1:{ops}")


@pytest.fixture
def output(mongodb_url: str, tmp_path: Path) -> str:
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MONGODB_URL": mongodb_url,
        "NO_PROXY": "localhost,127.0.0.1",
        "LC_ALL": "C.UTF-8",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    folder = tmp_path / "shop"
    folder.mkdir()
    log = tmp_path / "output"
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["bash", "-c", script()], cwd=folder, env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(200)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
    return log.read_text()


@pytest.mark.slow
def test_page_migrates_half_of_an_unknown_service(output: str) -> None:
    for expected in (
        "routing.yaml: 2 routes",
        "contracts/openapi.yaml: valid, 2 operations",
        "body.price",
        "GET /items/{id}   0% → 50%",
        "Equal: 4 of 4 steps",
        "x-served-by: native",
        "x-served-by: legacy",
    ):
        assert expected in output, output
    for unexpected in ("Traceback", "Usage: scribe-proxy serve", "command not found", "Usage: scribe-proxy init"):
        assert unexpected not in output, output
