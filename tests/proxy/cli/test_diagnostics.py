"""Problems as `check` prints them: with the place marked, as JSON, and as annotations of GitHub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.cli.diagnostics import Diagnostic, github_of, json_of, text_of
from proxy.cli.import_strings import import_problem
from proxy.config.indentation import indentation_hint
from proxy.config.loading import parse
from proxy.config.problems import ConfigError, Problem
from tests.support.command_line import check

FAULTY = """\
legacy: {url: http://x}
overrides: {secret: hunter2}
routes:
- {name: a, match: GET /a, guard: true}
- name: b
  match: GET /b
  native: 25
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_text(FAULTY)
    return path


def test_problem_is_marked_in_its_line(file: Path) -> None:
    lines = check(file).stdout.splitlines()
    assert lines[:3] == [
        f"{file}:2:21: overrides.secret: "
        "must be 16 to 128 visible ASCII characters without `;`, or empty to switch it off",
        "    2 | overrides: {secret: •••}",
        "                            ^",
    ]
    assert lines[3] == (
        f"{file}:4:35: routes[a].guard: "
        "must be a mapping (`key: value`); did you mean `guard: {}`, which takes the defaults?"
    )
    assert lines[4:6] == [
        "    4 | - {name: a, match: GET /a, guard: true}",
        "                                          ^",
    ]
    assert lines[7:9] == ["    7 |   native: 25", "                  ^"]


@pytest.mark.parametrize(
    ("text", "line", "column", "marked"),
    [
        ("native: a:b\nroutes:\n\t- {name: a}\n", 3, 1, "\t- {name: a}\n        ^"),
        ("native: a:b\nroutes:\n  - name: a\n   match: x\n", 4, 4, "   match: x\n           ^"),
        ("native: a:b\nroutes: [\n  {name: a\n\n", 3, 11, "  {name: a\n                  ^"),
        ("native: a:b\nroutes: @a\n", 2, 9, "routes: @a\n                ^"),
        ("native: a:b\nroutes: \x07\n", 2, 9, ""),
    ],
    ids=["tab", "indentation", "end", "character", "control"],
)
def test_faults_of_yaml_have_a_column_and_a_caret(file: Path, text: str, line: int, column: int, marked: str) -> None:
    file.write_text(text)
    first, _, shown = check(file).stdout.partition("\n")
    assert first.startswith(f"{file}:{line}:{column}: ")
    assert shown.rstrip("\n") == (f"{line:5} | {marked}" if marked else "")


def test_json_has_every_problem_and_warning(file: Path) -> None:
    result = check("--json", file)
    diagnostics = json.loads(result.stdout)
    assert (result.exit_code, len(diagnostics), result.stderr) == (1, 3, "")
    assert diagnostics[2] == {
        "file": str(file),
        "line": 7,
        "column": 11,
        "where": "routes[b].native",
        "severity": "error",
        "message": "must be a percentage in steps of 0.01%, as in 25% or 0.5%; did you mean 25%?",
    }
    file.write_text("legacy: {url: http://x}\nnative: proxy.nothing:app\n")
    (warning,) = json.loads(check("--json", file).stdout)
    assert (warning["severity"], warning["line"], warning["column"]) == ("warning", 2, 9)
    assert warning["where"] == "native"
    assert "    2 | native: proxy.nothing:app\n                ^\n" in check(file).stdout
    file.write_text("legacy: {url: http://x}\nlimits:\n \tin_flight: 5\n")
    (problem,) = json.loads(check("--json", file).stdout)
    assert (problem["line"], problem["column"]) == (3, 2)
    assert check("--json", "--strict", file).exit_code == 1
    file.write_text("legacy: {url: http://x}\n")
    assert json.loads(check("--json", file).stdout) == []


def test_annotations_are_escaped(file: Path) -> None:
    assert check("--github", file).stdout.splitlines()[2] == (
        f"::error file={file},line=7,col=11,title=routes[b].native::"
        "must be a percentage in steps of 0.01%25, as in 25%25 or 0.5%25; did you mean 25%25?"
    )
    odd = Diagnostic("a,b:c", Problem(1, "x", "one\ntwo"), "warning")
    assert github_of([odd]) == ["::warning file=a%2Cb%3Ac,line=1,title=x::one%0Atwo"]


def test_problem_without_a_readable_file_is_one_line() -> None:
    gone = Diagnostic("/nowhere/a.yaml", Problem(3, "x", "y", column=9))
    assert text_of([gone]) == ["/nowhere/a.yaml:3:9: x: y"]
    assert json.loads(json_of([gone]))[0]["column"] == 9


@pytest.mark.parametrize(
    ("import_string", "expected"),
    [
        ("proxy.cli.main:main", None),
        ("proxy.cli.main:main.callback", None),
        ("proxy.cli.main:mian", "proxy.cli.main has no mian; did you mean proxy.cli.main:main?"),
        ("proxy.cli.mian:main", "there is no module proxy.cli.mian; did you mean proxy.cli.main?"),
        ("proxi.cli:main", "there is no module proxi; did you mean proxy?"),
        ("json:dumps", None),
        ("json.nothing.below:x", "there is no module json.nothing"),
    ],
)
def test_import_string_is_checked_without_importing(
    import_string: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    assert import_problem(import_string) == expected


def test_native_app_with_a_syntax_error_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_app.py").write_text("app = None\ndef f(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    problem = import_problem("broken_app:app")
    assert problem is not None
    assert problem.startswith("broken_app is not valid Python: broken_app.py, line 2: ")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("guard: true", "guard: must be a mapping (`key: value`); did you mean `guard: {}`, which takes the defaults?"),
        ("rollout: yes", "rollout: must be a mapping (`key: value`); did you mean `rollout: {stages: …}`?"),
        ("rollout: {stages: 10%}", "rollout.stages: must be a list; did you mean [10%]?"),
        ("guard: {window: 1w}", "did you mean 7d?"),
        ("guard: {window: 30 minutes}", "did you mean 30m?"),
        ("guard: {window: 5 parsecs}", "not '5 parsecs'"),
    ],
)
def test_usual_slips_get_a_suggestion(settings: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"legacy: {{url: http://x}}\nnative: a:b\nroutes: [{{name: a, match: GET /a, {settings}}}]", {})
    (problem,) = caught.value.problems
    assert f"{problem.where}: {problem.message}".endswith(expected)


@pytest.mark.parametrize(
    ("text", "line", "own", "wanted"),
    [
        ("a:\n   b: 1\n  c: 2\n", 3, 2, "0 or 3"),
        ("routes:\n  - name: a\n    match: GET /a\n     native: 5%\n", 4, 5, "0 or 2 or 4"),
        ("routes:\n  - name: a\n   match: GET /a\n", 3, 3, "0 or 2 or 4"),
        ("legacy:\n  url: http://x\n routes: []\n", 3, 1, "0 or 2"),
    ],
)
def test_wrong_indentation_is_named(text: str, line: int, own: int, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, {})
    (problem,) = caught.value.problems
    hint = f"; line {line} is indented by {own} space{'s'[: own - 1]}, the lines that it could belong to by {wanted}"
    assert problem.message.endswith(hint)


@pytest.mark.parametrize("path", ["/notes/{id}", "GET /notes/{id}, native: 5%", "GET /{clinic}/notes"])
def test_unquoted_path_with_a_parameter_has_a_hint(path: str) -> None:
    for fields in (f"{{name: a, match: {path}}}", f"{{match: {path}, name: a}}"):
        with pytest.raises(ConfigError, match="within braces, quote a path with a parameter"):
            parse(f"legacy: {{url: 'http://a'}}\nroutes:\n  - {fields}\n", {})


@pytest.mark.parametrize("entry", ["{url: ${URL}}", "{url: http://${HOST}, keep_alive: 5s}", "[a, ${B}]", "[${A}]"])
def test_unquoted_variable_has_a_hint(entry: str) -> None:
    with pytest.raises(ConfigError, match=r'within braces, quote a variable: {url: "\${LEGACY_URL}"}'):
        parse(f"legacy: {entry}\n", {"URL": "http://a", "HOST": "a"})


@pytest.mark.parametrize("entry", ["{name: a, match: GET /notes", "{name: a, match: 'GET /{id}', x: {}"])
def test_other_faults_in_braces_have_no_hint_on_paths(entry: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"legacy: {{url: 'http://a'}}\nroutes:\n  - {entry}\n", {})
    assert "quote a path" not in str(caught.value)


def test_other_yaml_faults_have_no_indentation_hint() -> None:
    assert indentation_hint("a: {b: 1\nc: 2\n", 1) == ""
    assert indentation_hint("a:\n    b: 1\n", 2) == ""
    assert indentation_hint("", 1) == ""
    with pytest.raises(ConfigError, match="while parsing a flow mapping that begins on line 1"):
        parse("a: {b: 1\nc: 2\n", {})
