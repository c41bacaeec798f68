"""A file of instructions: read whole, or refused with every fault and its line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from demo.services import INSTRUCTIONS, LEGACY
from handlers.services.instructions import (
    PLACEHOLDERS,
    SHIPPED,
    SHIPPED_FILE,
    InstructionsError,
    Template,
    parse_instructions,
    read_instructions,
)
from handlers.settings import Settings, SettingsError

WHOLE = {key: f"{key} it" for key in PLACEHOLDERS}


def written(**changes: object) -> str:
    """Return a file with one key a line."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in (WHOLE | changes).items() if value is not ...)


def test_file_replaces_every_text() -> None:
    own = parse_instructions(written(codes="a ${summary} b"), "own")
    assert (own.summary.text, own.images.text, own.search.text) == ("summary it", "images it", "search it")
    assert own.codes.fill(summary="${summary} $1") == "a ${summary} $1 b"


@pytest.mark.parametrize(
    ("text", "filled", "opening"),
    [
        ("none", "none", "none"),
        ("a ${summary}${summary}", "a ss", "a "),
        ("$${summary} ${summary}", "${summary} s", "${summary} "),
        ('{"term": "x"} $5 ${}', None, None),
        ('{"term": "x"} $5 {}', '{"term": "x"} $5 {}', '{"term": "x"} $5 {}'),
    ],
)
def test_placeholders_are_filled_and_escaped(text: str, filled: str | None, opening: str) -> None:
    if filled is None:
        with pytest.raises(InstructionsError, match="no placeholder"):
            parse_instructions(written(codes=text), "own")
    else:
        assert (Template(text).fill(summary="s"), Template(text).opening) == (filled, opening)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (written(images=...), "own: images is missing"),
        (written(search=""), "own: line 4: search must be a text"),
        (written(search=5), "own: line 4: search must be a text"),
        (written(codes=["x"]), "own: line 2: codes must be a text"),
        (written(summry="x"), "own: line 5: summry is not a key: did you mean summary?"),
        (written() + "search: x", "own: line 5: search is there twice"),
        (written(search="${query}"), "own: line 4: search has no placeholder ${query}: it has none"),
        (written(codes="${sumary}"), "own: line 2: codes has no placeholder ${sumary}: it has ${summary}"),
        (written(search=...) + "search: >-\n  a\n\n  b ${x}\n", "line 7: search has no placeholder ${x}: it has none"),
        (written(search=5, images=5), "own: line 3: images must be a text; line 4: search must be a text"),
        ("[a", "own:1: "),
        ("a: [", "own:"),
        ("", "own: the keys summary, codes, images, search are expected"),
        ("- a", "own: the keys"),
    ],
)
def test_faults_are_reported_with_their_lines(text: str, fault: str) -> None:
    with pytest.raises(InstructionsError) as caught:
        parse_instructions(text, "own")
    assert fault in str(caught.value)


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"\xff", "not UTF-8"), (b"a: b", "a is not")])
def test_settings_refuse_a_faulty_file(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "own.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"MODEL_INSTRUCTIONS: {file}: .*{reason}"):
        Settings.load(jwt_secret_key="s", model_instructions=str(file))


def test_settings_read_the_given_or_shipped_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.yaml").write_text(written())
    monkeypatch.setenv("MODEL_INSTRUCTIONS", str(tmp_path / "own.yaml"))
    assert Settings.load(jwt_secret_key="s").model_instructions.search.text == "search it"
    monkeypatch.setenv("MODEL_INSTRUCTIONS", "")
    assert Settings.load(jwt_secret_key="s").model_instructions == SHIPPED == read_instructions(SHIPPED_FILE)


def test_demo_instructions_equal_its_legacys() -> None:
    script = 'const i = require("./config/instructions"); console.log(JSON.stringify({...i, codes: i.codes("s")}))'
    printed = subprocess.run(["node", "-e", script], cwd=LEGACY, capture_output=True, check=True)
    demo = read_instructions(INSTRUCTIONS)
    filled = {key: getattr(demo, key).fill(summary="s") for key in PLACEHOLDERS}
    assert filled == {name.lower(): text for name, text in json.loads(printed.stdout).items()}
