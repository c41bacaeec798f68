"""routing.yaml is shown as written, with secrets masked."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import yaml_nodes
from proxy.config.credentials import MASK
from proxy.config.masking import KEYS_OF_SECRETS, masked, masked_line
from proxy.config.problems import ConfigError
from tests.support.shipped import ROUTING

SECRET = "hunter2-hunter2-hunter2"


def shown(text: str) -> str:
    result = masked(text)
    assert result is not None
    return result.text


def test_shipped_file_is_shown_whole() -> None:
    assert shown(ROUTING.read_text()) == ROUTING.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "overrides: {secret: SECRET}",
        "overrides:\n  secret: SECRET  # changed last week",
        "overrides:\n  'secret': \"SECRET\"",
        "overrides:\n  secret: >\n    SECRET\n    SECRET\n",
        "overrides: {secret: '${NAME:-SECRET}'}",
        "overrides: {secert: SECRET}",
        "overrides: SECRET",
        "overrides: [SECRET]",
        "overrides: {SECRETSECRETSECRET: x}",
        "reports: {key: SECRET, key: SECRET}",
        "mongodb: {url: 'mongodb://root:SECRET@db'}",
        "legacy: {url: 'http://root:SECRET@legacy'}",
        "notify: {url: 'https://hooks.example/SECRET'}",
        "x-kept: {secret: SECRET}",
        "x-kept: {anything: SECRET}",
        "x-kept: [SECRET]",
        "x-kept: &kept SECRET\noverrides: {secret: *kept }",
        "contracts: &kept SECRET\noverrides: {secret: *kept }",
        "routes: [SECRET]",
        "routes:\n- {name: a, nmae: SECRET}",
        "SECRET",
        "- SECRET",
        "# secret: SECRET\nnative: a:b",
        "#   - {name: a, token: SECRET}\nnative: a:b",
        "native: a:b  # was mongodb://root:SECRET@db",
    ],
)
def test_possible_secret_is_masked(text: str) -> None:
    written = text.replace("SECRET", SECRET)
    result = masked(written)
    assert result is not None
    assert SECRET not in result.text
    assert MASK in result.text
    assert SECRET not in repr(result)
    assert result.text.count("\n") == written.count("\n")
    assert any(SECRET in piece for piece in result.left_out) or "#" in text


@pytest.mark.parametrize(
    "text",
    [
        "overrides: {header: x-side, secret: '${OVERRIDE_SECRET}'}",
        "overrides: {secret: '${OVERRIDE_SECRET:-}'}",
        "# the secret is kept elsewhere\nlegacy: {url: 'http://legacy:80', timeouts: {connect: 2s}}",
        "bucketing: {key: [jwt:userID, header:x-client-id], salt: scribe-2026}",
        "bucketing: {key: client-ip}",
        "x-strict: &strict {error_rate: 1%, window: 30s}\nroutes:\n- {name: a, match: GET /a, guard: *strict }",
        "routes:\n- {name: a, match: 'GET /ä', shadow: 5%, native: 0, erorr_rate: 5%}",
        "shadow: 5%",
        "",
    ],
)
def test_plain_text_is_not_masked(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize("comment", ["# NAME: SECRET", "#NAME= SECRET", "# - {name: a, NAME: SECRET}"])
@pytest.mark.parametrize(
    "name",
    sorted(
        {"secret", "OPS_TOKEN", "password", "db_passwd", "pwd", "passphrase", "api-key", "webhook.url", "credentials"}
        | KEYS_OF_SECRETS
    ),
)
def test_commented_out_secret_is_masked(name: str, comment: str) -> None:
    text = shown("native: a:b\n" + comment.replace("NAME", name).replace("SECRET", SECRET) + "\ndocs: {}\n")
    assert text == f"native: a:b\n# {MASK}\ndocs: {{}}\n"


@pytest.mark.parametrize("text", ["a: [", "{a: b", "\x00", "a: *nowhere-closed ]", "\ud800"])
def test_unparsable_text_is_not_shown(text: str) -> None:
    assert masked(text) is None


@pytest.mark.parametrize("rest", ["", " x", ": x", "\n  - b: [", "\n\tc: 1", "'", "\n{"])
@pytest.mark.parametrize(
    "text",
    [
        "overrides: {secret: SECRET}",
        "overrides:\n  secret: SECRET",
        "overrides:\n  secrte: SECRET",
        "overrides:\n  secret: |\n    SECRET\n    SECRET",
        "overrides:\n- SECRET SECRET",
        "mongodb: {url: 'mongodb://root:SECRET@db'}",
        "routes:\n- {name: a, match: GET /a, nmae: SECRET}",
        "x-kept: {anything: SECRET}\nnative: a:b",
        "# token: SECRET\nnative: a:b",
    ],
)
def test_line_of_invalid_text_shows_no_secret(text: str, rest: str) -> None:
    written = f"native: a:b\n{text.replace('SECRET', SECRET)}{rest}"
    for cut in range(len(written) - len(rest), len(written) + 1):
        lines = [masked_line(written[:cut], number) for number in range(1, written.count("\n") + 2)]
        assert not any(SECRET in line for line in lines if line is not None)


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("native: a:b\nroutes:\n\t- {name: a}\n", 3, "\t- {name: a}"),
        ("native: a:b\nroutes:\n- name: @a\n", 3, "- name: @a"),
        ("native: a:b\nroutes: [\n  {name: a, match: GET /a\n", 3, "  {name: a, match: GET /a"),
        ("legacy:\n\turl: http://x\n", 2, f"\turl: {MASK}"),
        ("native: a:b\n", 1, "native: a:b"),
        ("native: a:b\n", 2, None),
        ("native: a:b\n", 0, None),
    ],
)
def test_line_of_invalid_text_is_shown_masked(text: str, number: int, expected: str | None) -> None:
    assert masked_line(text, number) == expected


@settings(max_examples=40)
@given(
    st.text(alphabet="äx #'\"\\&*|>-\n:{}[]", max_size=60),
    st.sampled_from(["{} secret: {}", "overrides: {{{} secret: {}}}", "overrides:\n  {}\n  secret: {}\n"]),
)
def test_secret_is_masked_anywhere_in_the_file(noise: str, form: str) -> None:
    text = form.format(noise, SECRET)
    result = masked(text)
    if result is None:
        return
    try:
        root, _ = yaml_nodes.read(text)
    except ConfigError:
        root = None
    if isinstance(root, yaml_nodes.Mapping) and "secret" in str(root):
        plain = re.sub(r"(?m)(?:(?<=\s)|^)#.*", "", result.text)
        assert SECRET not in plain
