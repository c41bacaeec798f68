"""`Buffer.from(value, "base64")`, as Node 20 gave it for the same values."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from shutil import which

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.legacy.buffers import base64_slices, from_value
from handlers.legacy.javascript import JavaScriptRangeError, JavaScriptTypeError, Value, parse

MOST = 1000

TEXTS = [
    ("", ""),
    ("QUJD", "414243"),
    ("QUI=", "4142"),
    ("QQ==", "41"),
    ("QQ", "41"),
    ("Q", ""),
    ("QQ==QQ==", "41"),
    ("QU-_", "414fbf"),
    ("QU+/", "414fbf"),
    ("Q!U@J#D\n", "414243"),
    ("=QUJD", ""),
    ("QUJDQ", "414243"),
    ("\u0151UJD", "414243"),
    ("QUJD\u0151\u0151", "41424341"),
    ("é", ""),
    ("QQ=Q", "41"),
    ('"QUJD"', "414243"),
]


@pytest.mark.parametrize(("text", "content"), TEXTS)
def test_base64_is_read_leniently(text: str, content: str) -> None:
    assert from_value(text, MOST).hex() == content


@given(st.binary())
def test_base64_reads_both_alphabets(content: bytes) -> None:
    assert from_value(base64.b64encode(content).decode(), MOST) == content
    assert from_value(base64.urlsafe_b64encode(content).decode().rstrip("="), MOST) == content


@given(content=st.binary(max_size=40), noise=st.text("\n é", max_size=3), slice_size=st.integers(1, 9))
def test_base64_in_slices_equals_the_whole(content: bytes, noise: str, slice_size: int) -> None:
    text = noise.join(base64.b64encode(content).decode())
    assert b"".join(base64_slices(text, slice_size)) == content


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ('[1,2,300,-1,"7","x",1.9,null,[3],{},1e999,true]', "01022cff07000100030000 01"),
        ("[]", ""),
        ('{"length":3,"0":1,"1":"2","01":9,"5":9,"x":9}', "010200"),
        ('{"length":"3","0":1}', ""),
        ('{"length":null}', ""),
        ('{"length":true}', ""),
        ('{"length":-1}', ""),
        ('{"length":2.5}', "0000"),
        ('{"type":"Buffer","data":[1,2]}', "0102"),
        ('{"valueOf":null,"length":1,"0":9}', "09"),
        ('{"valueOf":0,"length":1,"0":9}', "09"),
        ('{"valueOf":"","length":1,"0":9}', ""),
    ],
)
def test_array_likes_become_bytes(text: str, content: str) -> None:
    assert from_value(parse(text), MOST) == bytes.fromhex(content)


@pytest.mark.parametrize(
    "text",
    ["5", "true", "null", "{}", '{"type":"Buffer","data":5}', '{"data":[1]}', '{"valueOf":5}', '{"valueOf":{}}'],
)
def test_other_values_raise_a_type_error(text: str) -> None:
    with pytest.raises(JavaScriptTypeError):
        from_value(parse(text), MOST)


def test_excessive_length_allocates_nothing() -> None:
    lengths: list[Value] = [MOST + 1, 1e300, float("inf")]
    for length in lengths:
        with pytest.raises(JavaScriptRangeError):
            from_value({"length": length}, MOST)


@pytest.mark.skipif(which("node") is None, reason="Node is not installed")
def test_node_agrees(tmp_path: Path) -> None:
    texts = [text for text, _ in TEXTS]
    symbols = "AZaz09+/-_= \n!\u0151\u013d\u2028\U0001f600\ud800"
    texts += [(symbols * 3)[start : start + size] for start in range(len(symbols)) for size in (3, 4, 7, 16, 40)]
    file = tmp_path / "texts.json"
    file.write_text(json.dumps(texts))
    program = (
        f"const texts = JSON.parse(require('fs').readFileSync({json.dumps(str(file))}));"
        "console.log(JSON.stringify(texts.map(text => Buffer.from(text, 'base64').toString('hex'))));"
    )
    answer = subprocess.run(["node", "-e", program], capture_output=True, check=True, text=True)
    assert [from_value(text, MOST).hex() for text in texts] == json.loads(answer.stdout)
