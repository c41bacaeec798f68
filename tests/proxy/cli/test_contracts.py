"""`contracts infer|check|coverage`, `check --contracts`, and this repository's contract against its recordings."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proxy.cli.main import main
from proxy.contract.reading import load
from proxy.inference.checking import coverage, violations_of
from proxy.recordings import model
from tests.support.shipped import ROUTING

ROOT = Path(__file__).parents[3]
CONTRACTS = ROOT / "contracts"
RECORDED = CONTRACTS / "recordings"
EVERYWHERE = {"400", "401", "413", "415"}
"""Answers of express's parser and of authentication on every path that has a body or needs a token."""
UNRECORDED = {("notes.update", "404"), ("users.register", "500")}
"""Answers of the demo's legacy that are in no recording."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def recorded() -> model.Recordings:
    return model.load(RECORDED, counterexamples=False)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for file in CONTRACTS.glob("*.yaml"):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_every_recording_satisfies_the_contract(recorded: model.Recordings) -> None:
    assert [str(violation) for violation in violations_of(load(CONTRACTS / "openapi.yaml"), recorded)] == []


def test_contract_declares_the_recorded_answers(
    recorded: model.Recordings,
) -> None:
    rows = coverage(load(CONTRACTS / "openapi.yaml"), recorded)
    assert [row.as_json() for row in rows if not row.declared] == []
    unseen = {(row.operation.id, row.status) for row in rows if not row.samples}
    assert {(one, status) for one, status in unseen if status not in EVERYWHERE} == UNRECORDED
    steps = sum(len(scenario.steps) for scenario in recorded.scenarios)
    assert sum(row.samples for row in rows if row.status != "101") == steps
    for row in rows:
        answer = row.operation.declared(int(row.status)) if row.status.isdecimal() else None
        assert row.operation.method == "HEAD" or all(answer and answer.body(media) for media in row.media)


def test_every_operation_is_described_and_routed() -> None:
    contract = load(CONTRACTS / "openapi.yaml")
    ids = {operation.id for operation in contract.operations}
    routed = {line.split(": ")[1] for line in ROUTING.read_text().splitlines() if "  - name: " in line}
    assert {one.removesuffix(".head") for one in ids} == routed - {"rest", "v1", "v1.transcription"}
    texts = "".join(file.read_text() for file in CONTRACTS.glob("*.yaml"))
    assert texts.count("operationId: ") == len(re.findall(r"operationId: .*\n +summary: \S", texts)) == len(ids)


def test_patient_fields_are_not_shown_in_reports(recorded: model.Recordings) -> None:
    contract = load(CONTRACTS / "openapi.yaml")
    read = contract.operation("GET", "/api/consultation/1")
    assert read is not None
    for path in ("patient", "patient.name", "transcript.transcript_text", "transcript.summary", "clinician.email"):
        assert read.hints(("body", "consultation", *path.split("."))).report is None
    assert read.hints(("body", "consultation", "status")).report == "show"


def test_contract_compares_entity_tags() -> None:
    contract = load(CONTRACTS / "openapi.yaml")
    rules = [
        one.hints(("header", "etag"), int(status)).compare for one in contract.operations for status in one.answers
    ]
    assert set(rules) == {None}


def test_repeated_inference_changes_nothing(copied: Path) -> None:
    before = {file.name: file.read_bytes() for file in copied.iterdir()}
    result = run(
        "contracts",
        "infer",
        "--recordings",
        RECORDED,
        "--into",
        copied / "openapi.yaml",
        "--routing",
        ROUTING,
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "0 changes in 0 files\n")
    assert {file.name: file.read_bytes() for file in copied.iterdir()} == before


@pytest.mark.parametrize("routing", [(), ("--routing", ROUTING)])
def test_inferred_contract_satisfies_its_recordings(tmp_path: Path, routing: tuple[object, ...]) -> None:
    into = tmp_path / "contracts" / "openapi.yaml"
    made = run("contracts", "infer", "--recordings", RECORDED, "--into", into, "--title", "Mine", *routing)
    assert made.exit_code == 0, made.output
    assert "added POST /users/login 200\n" in made.stdout
    assert "title: Mine" in into.read_text()
    checked = run("contracts", "check", "--contract", into, "--recordings", RECORDED)
    assert checked.exit_code == 0
    assert re.search(
        r": \d\d operations; \d{3} requests, \d\d conversations; 0 violations$", checked.output, re.MULTILINE
    )


def changed(directory: Path, change: Any) -> Path:
    """Return the recordings with one answer changed."""
    target = directory / "recordings"
    target.mkdir()
    entries = json.loads((RECORDED / "http.json").read_text())
    change(entries)
    (target / "http.json").write_text(json.dumps(entries))
    shutil.copy(RECORDED / "ws.json", target)
    return target


def test_violation_in_a_recording_is_reported_without_values(copied: Path, tmp_path: Path) -> None:
    def change(entries: list[Any]) -> None:
        step = next(one for entry in entries for one in entry["steps"] if one["request"]["path"] == "/users/profile")
        step["response"]["text"] = '{"msg": 7, "secret": "Jane Roe"}'
        entries[0]["steps"][0]["response"]["status"] = 203

    recordings = changed(tmp_path, change)
    result = run("contracts", "check", "--contract", copied / "openapi.yaml", "--recordings", recordings)
    assert result.exit_code == 1
    assert "root / get  GET /: status 203 is not a status of GET /\n" in result.output
    assert "GET /users/profile: body" in result.output
    assert "2 violations" in result.output or "3 violations" in result.output
    assert "Jane" not in result.output


def test_unknown_requests_and_frames_are_violations(tmp_path: Path) -> None:
    into = tmp_path / "openapi.yaml"
    into.write_text(
        "openapi: 3.1.1\npaths:\n  /transcription-stream:\n    get: {x-frames: {received: {type: string}},"
        " responses: {'101': {description: x}}}\n"
    )
    result = run("contracts", "check", "--contract", into, "--recordings", RECORDED)
    assert result.exit_code == 1
    assert "root / get  GET /:  is not an operation of the contract" in result.output
    assert "WS /transcription-stream: frame is not of type string" in result.output
    gaps = run("contracts", "coverage", "--contract", into, "--recordings", RECORDED)
    assert "5!" in gaps.output
    assert "observed and not declared" in gaps.output


def test_coverage_is_a_table_or_json(copied: Path) -> None:
    options = ("--contract", CONTRACTS / "openapi.yaml", "--recordings", RECORDED)
    table = run("contracts", "coverage", *options)
    assert table.exit_code == 0
    assert "POST /users/login" in table.output
    sums = r"\d{3} samples of \d\d operations; \d+ declared without a sample, 0 observed and not declared"
    assert re.search(sums, table.output)
    rows = json.loads(run("contracts", "coverage", *options, "--json").stdout)
    assert {
        "operation": "users.login", "method": "POST", "path": "/users/login", "status": "200",
        "content_types": ["application/json"], "samples": 40, "declared": True,
    } in rows  # fmt: skip
    assert [row["samples"] for row in rows if row["operation"] == "users.register" and row["status"] == "reset"] == [2]


def test_declared_status_without_samples_is_a_zero(copied: Path) -> None:
    file = copied / "openapi.yaml"
    file.write_text(file.read_text().replace("        '304':", "        '418': {description: x}\n        '304':", 1))
    rows = json.loads(run("contracts", "coverage", "--contract", file, "--recordings", RECORDED, "--json").stdout)
    assert ("418", True) in [(row["status"], row["declared"]) for row in rows if not row["samples"]]


@pytest.mark.parametrize("command", ["check", "coverage"])
def test_invalid_contract_is_reported_with_lines(tmp_path: Path, command: str) -> None:
    file = tmp_path / "openapi.yaml"
    file.write_text("openapi: 3.1.1\npaths:\n  a: {}\n")
    result = run("contracts", command, "--contract", file, "--recordings", RECORDED)
    assert (result.exit_code, result.stderr) == (1, "1 problem\n")
    assert result.stdout == f"{file}:3: a: the path 'a' must begin with a slash\n"


def test_wrong_usage_is_reported(tmp_path: Path) -> None:
    assert run("contracts", "check", "--contract", CONTRACTS / "openapi.yaml", "--recordings", tmp_path).exit_code == 2
    routing = tmp_path / "routing.yaml"
    routing.write_text("routes: 7")
    result = run("contracts", "infer", "--recordings", RECORDED, "--into", tmp_path / "o.yaml", "--routing", routing)
    assert (result.exit_code, "routing.yaml" in result.output) == (1, True)
    (tmp_path / "openapi.yaml").write_text("openapi: 3.1.1\npaths: []\n")
    result = run("contracts", "infer", "--recordings", RECORDED, "--into", tmp_path / "openapi.yaml")
    assert (result.exit_code, "Traceback" in result.output) == (1, False)


def routing_in(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    shutil.copy(ROUTING, directory)
    return directory / "routing.yaml"


def test_check_reads_the_contracts_beside_the_routing_file(tmp_path: Path) -> None:
    routing = routing_in(tmp_path)
    (tmp_path / "contracts").mkdir()
    assert run("check", routing).output.count(": valid, ") == 1
    for file in CONTRACTS.glob("*.yaml"):
        shutil.copy(file, tmp_path / "contracts")
    sound = run("check", routing)
    assert sound.exit_code == 0, sound.output
    assert re.search(rf"^{tmp_path}/contracts/openapi.yaml: valid, \d\d operations, ", sound.output, re.MULTILINE)
    with (tmp_path / "contracts" / "openapi.yaml").open("a") as contract:
        contract.write("nonsense: true\n")
    faulty = run("check", routing)
    assert (faulty.exit_code, faulty.stderr) == (1, f"{tmp_path}/contracts/openapi.yaml: 1 problem\n")
    assert "contracts/openapi.yaml:" in faulty.stdout


def test_check_reads_the_given_contracts(tmp_path: Path, copied: Path) -> None:
    elsewhere = routing_in(tmp_path / "elsewhere")
    divergences = copied / "divergences.yaml"
    text = divergences.read_text().replace("operation: POST /users/login", "operation: POST /users/logn", 1)
    divergences.write_text(text)
    line = text[: text.index("/users/logn")].count("\n") + 1
    result = run("check", elsewhere, "--contracts", copied)
    assert result.exit_code == 1
    assert f"{divergences}:{line}: " in result.stdout
    assert "POST /users/logn is not an operation of the contract; did you mean POST /users/login?" in result.stdout
    checked = run("contracts", "check", "--contract", copied / "openapi.yaml", "--recordings", RECORDED)
    assert (checked.exit_code, "POST /users/logn is not an operation" in checked.stdout) == (1, True)
