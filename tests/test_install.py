"""An install on any later day has the versions of the lock files, despite later releases."""

from __future__ import annotations

import ensurepip
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from demo.ports import free_port
from tests.support.package_index import Index, Wheel, serving_index

ROOT = Path(__file__).parent.parent
INSTALL = ROOT / "deploy" / "install-locked"
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock", "requirements-audit.lock")

LOCKED = (
    Wheel("alpha", "1.0", {"": ["beta[fast]>=1.0"]}),
    Wheel("beta", "1.0", {"fast": ["gamma>=1.0"]}),
    Wheel("gamma", "1.0"),
)
LATER = (
    Wheel("alpha", "1.1", {"": ["beta[fast]>=1.1"]}),
    Wheel("beta", "1.1", {"fast": ["gamma>=1.1", "delta"]}),
    Wheel("gamma", "1.1"),
    Wheel("delta", "1.0"),
)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment with the pip that this Python brings, copied because installing pip takes longer."""
    directory = tmp_path_factory.mktemp("pristine") / "venv"
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", directory], check=True)
    (wheel,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    (packages,) = directory.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    nothing = directory.parent / "nothing.lock"
    nothing.touch()
    pip = (directory / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    subprocess.run(
        [*pip, "install", "--quiet", "--no-index", "--requirement", nothing], check=True
    )  # compiles pip once
    return directory


@pytest.fixture
def python(pristine: Path, tmp_path: Path) -> Path:
    """Return the Python of a new virtual environment."""
    shutil.copytree(pristine, tmp_path / "venv", symlinks=True)
    return tmp_path / "venv" / "bin" / "python"


@pytest.fixture
def index() -> Iterator[Index]:
    """Return an index as of a later day."""
    with serving_index(LOCKED + LATER) as index:
        yield index


def run(index: Index, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command that uses only this index, regardless of pip's configuration on this machine."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_INDEX_URL": index.url, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)


def lock(directory: Path, *pins: str) -> Path:
    file = directory / "some.lock"
    file.write_text("".join(pins))
    return file


def installed(python: Path) -> set[str]:
    """Return the packages that were added to a virtual environment, as `name-version`."""
    names = {file.name.removesuffix(".dist-info") for file in python.parent.parent.rglob("*.dist-info")}
    return {name for name in names if not name.startswith(("pip-", "setuptools-"))}


def pip_version(python: Path) -> Version:
    process = subprocess.run([python, "-m", "pip", "--version"], text=True, capture_output=True, check=True)
    return Version(process.stdout.split()[1])


@pytest.mark.slow
def test_later_releases_change_nothing(index: Index, python: Path, tmp_path: Path) -> None:
    done = run(index, "sh", INSTALL, python, lock(tmp_path, *(wheel.pin for wheel in LOCKED)))
    assert done.returncode == 0, done.stderr
    assert installed(python) == {"alpha-1.0", "beta-1.0", "gamma-1.0"}
    assert index.fetched == {wheel.file for wheel in LOCKED}


@pytest.mark.slow
def test_progress_counts_packages_of_a_local_directory(index: Index, python: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for wheel in LOCKED:
        (wheels / wheel.file).write_bytes(wheel.content)
    local = ("env", f"PIP_FIND_LINKS={wheels}", "PIP_NO_INDEX=1")
    done = run(index, *local, "sh", INSTALL, python, lock(tmp_path, *(wheel.pin for wheel in LOCKED)))
    assert done.returncode == 0, done.stderr
    counted = [line.split(": ") for line in done.stdout.splitlines() if " of 3: " in line]
    assert [count for count, _ in counted] == ["1 of 3", "2 of 3", "3 of 3"]
    assert [name for _, name in counted] == [wheel.file for wheel in LOCKED]


@pytest.mark.slow
def test_later_releases_matter_where_dependencies_are_resolved(index: Index, python: Path, tmp_path: Path) -> None:
    # An install can fail on this index: without `--no-deps`, pip before 23.3 refuses a complete lock.
    file = lock(tmp_path, *(wheel.pin for wheel in LOCKED))
    done = run(index, python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", file)
    if pip_version(python) < Version("23.3"):
        assert done.returncode != 0
        assert "must have their versions pinned with ==. These do not:\n    beta[fast]>=1.0" in done.stderr
    assert run(index, python, "-m", "pip", "install", "--quiet", "--upgrade", "alpha").returncode == 0
    assert installed(python) == {"alpha-1.1", "beta-1.1", "gamma-1.1", "delta-1.0"}


def test_lock_that_lacks_a_package_is_refused(index: Index, python: Path, tmp_path: Path) -> None:
    done = run(index, "sh", INSTALL, python, lock(tmp_path, LOCKED[0].pin))
    assert done.returncode != 0
    assert "alpha 1.0 requires beta" in done.stdout


@pytest.mark.parametrize(
    "pin",
    [f"gamma==1.0 --hash=sha256:{'0' * 64}\n", pytest.param("gamma>=1.0\n", marks=pytest.mark.slow)],
    ids=["wrong", "absent"],
)
def test_lock_whose_hash_is_wrong_or_absent_is_refused(index: Index, python: Path, tmp_path: Path, pin: str) -> None:
    done = run(index, "sh", INSTALL, python, lock(tmp_path, pin))
    assert done.returncode != 0
    assert installed(python) == set()


def test_packages_are_installed_by_one_script_only() -> None:
    for name in ("Makefile", "Dockerfile", ".ci/run", ".ci/audit"):
        text = (ROOT / name).read_text()
        installs = [line for line in text.splitlines() if "pip install" in line]
        assert all(line.endswith(" uv") for line in installs), name  # `make lock` selects the newest releases
    assert "install-locked $(BIN)/python requirements-dev.lock --editable ." in (ROOT / "Makefile").read_text()
    assert "install-locked /opt/scribe-proxy/bin/python requirements.lock" in (ROOT / "Dockerfile").read_text()


def pins(name: str) -> dict[str, str]:
    """Return the versions in a lock file whose markers apply to this machine."""
    versions: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / name).read_text().strip()):
        line, *hashes = entry.replace("\\\n", "").split("--hash=")
        requirement = Requirement(line.strip())
        assert hashes, f"{name}: {line} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", one) for one in hashes), f"{name}: {line}"
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{name}: {line}"
        if requirement.marker is None or requirement.marker.evaluate():
            assert canonicalize_name(requirement.name) not in versions, f"{name}: {line} stands there twice"
            versions[canonicalize_name(requirement.name)] = specifier.version
    return versions


def declared() -> dict[str, list[str]]:
    """Return the requirements of pyproject.toml: by extra or group, "" for what the product itself needs."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    return {"": project["dependencies"], **project["optional-dependencies"], **document["dependency-groups"]}


def closure(requirements: list[str]) -> dict[tuple[str, str], Requirement]:
    """Return the packages that `requirements` need here, by the metadata of installed ones."""
    needed: dict[tuple[str, str], Requirement] = {}
    waiting = [(Requirement(one), "") for one in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        needed[name, str(requirement)] = requirement
        for wanted in {"", *requirement.extras}:
            if (name, wanted) in needed:
                continue
            needed[name, wanted] = requirement
            waiting += [(Requirement(one), wanted) for one in metadata.requires(name) or []]
    return needed


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("requirements.lock", ("",)),
        ("requirements-dev.lock", ("", "dev", "embedded", "tracing", "build")),
        ("requirements-build.lock", ("build",)),
    ],
)
def test_lock_is_closed_under_dependencies(name: str, parts: tuple[str, ...]) -> None:
    locked = pins(name)
    needed = closure([one for part in parts for one in declared()[part]])
    assert {package for package, _ in needed} == locked.keys()
    for (package, _), requirement in needed.items():
        assert requirement.specifier.contains(locked[package], prereleases=True), f"{requirement}: {locked[package]}"


@pytest.mark.parametrize("name", LOCKS)
def test_locks_agree(name: str) -> None:
    own, dev = pins(name), pins("requirements-dev.lock")
    shared = own.keys() & dev.keys()
    assert shared
    assert {package: own[package] for package in shared} == {package: dev[package] for package in shared}


def test_installed_versions_equal_the_locked_ones() -> None:
    locked = pins("requirements-dev.lock")
    assert {package: metadata.version(package) for package in locked} == locked


@pytest.mark.parametrize(("required", "code"), [("", 0), ("0", 0), ("1", 1)])
def test_audit_without_advisories_says_it_checked_nothing(required: str, code: int) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/v1/query"
    env = {**os.environ, "OSV_URL": nowhere, "NO_PROXY": "*", "PYTHON": sys.executable, "AUDIT_REQUIRED": required}
    done = subprocess.run([ROOT / ".ci" / "audit"], env=env, text=True, capture_output=True, check=False)
    assert done.returncode == code
    assert done.stdout.startswith(f"NOT AUDITED: the advisories at {nowhere} cannot be reached from here")
