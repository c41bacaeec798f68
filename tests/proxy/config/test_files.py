"""routing.yaml as a file: bytes, permissions, damage."""

from __future__ import annotations

import os
import pickle
import random
import stat
from codecs import BOM_UTF16_BE
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.error_messages import all_keys
from proxy.config.loading import MAX_BYTES, load, parse
from proxy.config.problems import ConfigError, Problem
from tests.support.routing_texts import WHOLE
from tests.support.shipped import ROUTING

ROOT = Path(__file__).parents[3]


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "routing.yaml"
    path.write_bytes(data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.source == str(path)
    return str(caught.value).removeprefix(str(path))


def test_file_is_loaded_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    assert load(written(tmp_path, b"\xef\xbb\xbf" + WHOLE.encode()), {}) == parse(WHOLE, {})
    assert load(written(tmp_path, WHOLE.replace("\n", "\r\n").encode()), {}) == parse(WHOLE, {})


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", ": the file is empty"),
        (b"legacy: 1\n\x7fELF\x02\x00", ":2:5: not text: it holds the control character 0x02"),
        (b"\x89PNG\r\n\x1a\n", ":1:1: not text: byte 0x89 is not UTF-8"),
        (b"a: 1\nb: \xff\xfe", ":2:4: not text: byte 0xff is not UTF-8"),
        (
            "legacy: 1".encode("utf-16"),
            ":1:1: not text: byte 0xff is not UTF-8; it seems to be UTF-16: save it as UTF-8",
        ),
        (BOM_UTF16_BE + "a: 1".encode("utf-16-be"), "byte 0xfe is not UTF-8; it seems to be UTF-16: save it as UTF-8"),
        (b"- a\n" * 2_500_000, ": larger than 1 MiB, which is too large for a routing.yaml"),
        (b"#" * (MAX_BYTES + 1), ": larger than 1 MiB, which is too large for a routing.yaml"),
        (b"legacy:\n\turl: http://x\n", ":2:1: indented with a tab; YAML wants spaces"),
        (random.Random(4).randbytes(5000), "not text"),
    ],
    ids=["empty", "binary", "image", "latin", "utf-16", "utf-16-be", "10 MB", "just too large", "tabs", "noise"],
)
def test_file_of_another_kind_is_a_clear_error(tmp_path: Path, data: bytes, complaint: str) -> None:
    assert complaint in refusal(written(tmp_path, data))


def test_file_that_cannot_be_opened_is_a_clear_error(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nope.yaml") == ": cannot be read: No such file or directory"
    assert refusal(tmp_path) == ": cannot be read: Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_is_a_clear_error(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE.encode())
    path.chmod(stat.S_IWUSR)
    assert refusal(path) == ": cannot be read: Permission denied"


def problems(text: str) -> tuple[Problem, ...] | None:
    """Return the problems of a text, or None if it is valid."""
    try:
        parse(text, {})
    except ConfigError as error:
        return error.problems
    return None


@given(st.text(max_size=200))
def test_random_text_raises_problems_only(text: str) -> None:
    reported = problems(text)
    assert reported is None or reported


@given(st.data())
def test_damaged_file_raises_problems_only(data: st.DataObject) -> None:
    lines = WHOLE.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = data.draw(st.sampled_from(["", lines[at][::-1], lines[at][2:], "  " + lines[at], "- " + lines[at]]))
    assert all(0 <= problem.line <= len(lines) for problem in problems("\n".join(lines)) or ())


def test_problems_are_unique_and_in_order() -> None:
    error = ConfigError((Problem(3, "b", "x"), Problem(1, "a", "y"), Problem(3, "b", "x")), "f")
    assert str(error) == "f:1: a: y\nf:3: b: x"
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_shipped_file_is_valid() -> None:
    config = load(ROUTING, {})
    assert config.notes == ()
    assert len(config.routes) == 28


def test_every_key_is_documented() -> None:
    reference = (ROOT / "docs" / "routing-yaml.md").read_text()
    undocumented = [key for key in all_keys() if f"`{key.removeprefix('routes.')}`" not in reference]
    assert not undocumented
