"""Contract files with their lines and references; every unreadable part is reported with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.contract.faults import ContractError
from proxy.contract.tree import MAX_DEPTH, read_tree


def put(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return directory / "main.yaml"


def faults(path: Path) -> list[str]:
    with pytest.raises(ContractError) as caught:
        read_tree(path)
    return [str(fault).removeprefix(f"{path.parent}/") for fault in caught.value.faults]


def test_values_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    text = "a: 1\nb: '1'\nc: true\nd: no\ne: 1.5e3\nf:\ng: 2026-01-01\nh: [1, x]\ni: \"null\"\nj: -.5\n"
    assert read_tree(put(tmp_path, main=text)).value == {
        "a": 1, "b": "1", "c": True, "d": "no", "e": 1500.0, "f": None, "g": "2026-01-01", "h": [1, "x"], "i": "null",
        "j": -0.5,
    }  # fmt: skip


def test_references_resolve_across_files_with_their_lines(tmp_path: Path) -> None:
    main = put(
        tmp_path,
        main="a: {$ref: '#/c'}\nb: {$ref: 'other.yaml#/~1x~1{id}/1', description: mine}\nc: 7\n",
        other="/x/{id}:\n  - 1\n  - {deep: {$ref: 'main.yaml#/c'}}\n",
    )
    tree = read_tree(main)
    assert tree.value == {"a": 7, "b": {"deep": 7}, "c": 7}
    location = tree.at("b")
    assert (location.file.name, location.line) == ("other.yaml", 3)
    assert (tree.at("b", "deep").file.name, tree.at("b", "deep").line) == ("main.yaml", 3)
    assert tree.at("b", "nothing").line == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["main.yaml: the file is empty"]),
        ("a: 1\na: 2\n", ["main.yaml:2: a: already given on line 1"]),
        ("a: [\n", ["main.yaml:1: not YAML"]),
        ("a:\n  $ref: '#/b'\n", ["main.yaml:2: main.yaml has nothing at #/b"]),
        ("a:\n  $ref: '#/b/7'\nb: [1]\n", ["main.yaml:2: main.yaml has nothing at #/b/7"]),
        ("a:\n  $ref: gone.yaml\n", ["gone.yaml: cannot be read", "main.yaml:2: gone.yaml: the file cannot be read"]),
        ("a: {$ref: 'http://x/y'}\n", ["main.yaml:1: http://x/y: only files beside this one"]),
        ("a: {$ref: [1]}\n", ["main.yaml:1: $ref must be text"]),
        ("a: {$ref: '#/b', type: x}\nb: 1\n", ["main.yaml:1: `type` beside $ref has no effect"]),
        ("a:\n  b: {$ref: '#/a'}\n", ["main.yaml:1: refers to itself"]),
        ("a: {$ref: '#/b'}\nb: {$ref: '#/a'}\n", ["main.yaml:1: refers to itself"]),
        ("a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), ["main.yaml:1: nested more than 100 levels deep"]),
    ],
)
def test_invalid_file_is_reported_with_its_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    reported = faults(put(tmp_path, main=text))
    assert len(reported) == len(expected)
    assert all(message.startswith(start) for message, start in zip(reported, expected, strict=True)), reported


def test_references_that_multiply_are_refused(tmp_path: Path) -> None:
    levels = [f"l{level}:" + f"\n  - $ref: '#/l{level + 1}'" * 10 for level in range(8)]
    (fault,) = faults(put(tmp_path, main="\n".join([*levels, "l8: 1"])))
    assert "expands to more than 500,000 values" in fault


@pytest.mark.parametrize(
    ("data", "expected"), [(b"\xff", "not text: byte 0xff"), (b"#" * (5 << 20), "larger than 4 MiB")]
)
def test_undecodable_file_is_refused(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "main.yaml").write_bytes(data)
    assert expected in faults(tmp_path / "main.yaml")[0]


def test_missing_file_is_reported(tmp_path: Path) -> None:
    assert faults(tmp_path / "main.yaml") == ["main.yaml: cannot be read: No such file or directory"]
