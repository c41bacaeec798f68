import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from demo.node import NodeError, find_node, install, is_installed
from tests.support.waiting import HANG_TIMEOUT


def program(directory: Path, name: str, script: str) -> Path:
    file = directory / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a PATH with the shell's own programs and those that a test adds, but without Node."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("mkdir", "touch", "sleep"):
        (directory / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(directory))
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    packages: dict[str, dict[str, str]] = {"": {}, "node_modules/a": {}, "node_modules/@b/c": {}}
    (directory / "package-lock.json").write_text(json.dumps({"packages": packages}))
    return directory


_UNPACKING = """
mkdir -p node_modules/.bin node_modules/a node_modules/@b/c
touch node_modules/a/package.json
until [ -e first-is-reported ]; do sleep 0.05; done
touch node_modules/@b/c/package.json
"""


def test_absent_node_raises_an_error(path: Path) -> None:
    with pytest.raises(NodeError, match=r"Node.js 20 or newer is needed .* no `node` on PATH"):
        find_node()


def test_old_node_is_reported_with_its_version(path: Path) -> None:
    program(path, "node", "echo v18.19.0")
    with pytest.raises(NodeError, match=r"Node.js 20 or newer is needed .* is v18\.19\.0"):
        find_node()


def test_node_without_a_version_is_reported(path: Path) -> None:
    program(path, "node", "echo 'cannot execute' >&2; exit 1")
    with pytest.raises(NodeError, match="prints no version: cannot execute"):
        find_node()


@pytest.mark.parametrize("version", ["v20.0.0", "v22.11.0", "v100.1.2"])
def test_current_node_is_accepted(path: Path, version: str) -> None:
    node = program(path, "node", f"echo {version}")
    assert find_node() == node


def test_packages_count_as_installed_until_the_lock_file_changes(project: Path) -> None:
    assert not is_installed(project)
    hidden = project / "node_modules" / ".package-lock.json"
    hidden.parent.mkdir()
    hidden.touch()
    assert is_installed(project)
    later = hidden.stat().st_mtime + 10
    os.utime(project / "package-lock.json", (later, later))
    assert not is_installed(project)


def test_installation_reports_its_progress(path: Path, project: Path, tmp_path: Path) -> None:
    program(path, "npm", _UNPACKING)
    progress: list[tuple[int, int]] = []

    def report(done: int, total: int) -> None:
        progress.append((done, total))
        if done == 1:
            (project / "first-is-reported").touch()

    install(project, tmp_path / "npm.log", report)
    assert (1, 2) in progress
    assert progress[-1] == (2, 2)
    assert progress == sorted(progress)


def test_concurrent_installations_run_npm_once(path: Path, project: Path, tmp_path: Path) -> None:
    script = "echo run >>runs; sleep 0.5; mkdir node_modules; touch node_modules/.package-lock.json"
    program(path, "npm", script)
    with ThreadPoolExecutor(3) as threads:
        for each in [threads.submit(install, project, tmp_path / f"npm-{number}.log") for number in range(3)]:
            each.result(HANG_TIMEOUT)
    assert (project / "runs").read_text() == "run\n"
    assert is_installed(project)


def test_failed_installation_reports_npms_error(path: Path, project: Path, tmp_path: Path) -> None:
    program(path, "npm", "echo 'npm error network down'; exit 1")
    with pytest.raises(NodeError, match="npm ci failed: npm error network down"):
        install(project, tmp_path / "npm.log")


def test_absent_npm_raises_an_error(path: Path, project: Path, tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="npm is needed once"):
        install(project, tmp_path / "npm.log")
