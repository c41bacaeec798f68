"""Keys for what stands in front of the gateway: trusted proxies."""

from __future__ import annotations

import pytest

from proxy.config import ConfigError, parse

HEAD = "legacy: {url: http://x}\nnative: a:b\n"


def complaints(text: str) -> list[str]:
    """The problems of a file whose first line after the head is line 3, as `line: where: message`."""
    with pytest.raises(ConfigError) as caught:
        parse(HEAD + text, {}, "f")
    return [problem.located("f").removeprefix("f:") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10.0.0.7", ("10.0.0.7/32",)),
        ("[10.0.0.0/8, 2001:DB8:0::/32, unix]", ("10.0.0.0/8", "2001:db8::/32", "unix")),
        ("10.0.0.0/8, unix", ("10.0.0.0/8", "unix")),
        ("::ffff:10.0.0.0/104", ("10.0.0.0/8",)),
        ("${NOTHING:-}", ()),
        ("[]", ()),
    ],
)
def test_trusted_proxies_are_addresses_networks_and_unix(written: str, expected: tuple[str, ...]) -> None:
    assert parse(f"{HEAD}trusted_proxies: {written}", {}).trusted_proxies == expected


@pytest.mark.parametrize(
    ("written", "suggestion"),
    [
        ("10.0.0.5/8", "; did you mean 10.0.0.0/8?"),
        ("2001:db8::1/32", "; did you mean 2001:db8::/32?"),
        ("unx", "; did you mean unix?"),
        ("'*'", "; did you mean 0.0.0.0/0 and ::/0?"),
        ("nginx.internal", ""),
        ("10.0.0.0/33", ""),
        ("10.0.0", ""),
    ],
)
def test_wrong_trusted_proxy_is_reported_with_its_line(written: str, suggestion: str) -> None:
    (complaint,) = complaints(f"trusted_proxies:\n  - 127.0.0.1\n  - {written}\n")
    message = f"must be an address, a network as in 10.0.0.0/8, or unix{suggestion}"
    assert complaint.startswith(f"5: trusted_proxies[#2]: {message}")


def test_misspelt_key_gets_a_suggestion() -> None:
    (complaint,) = complaints("trusted_proxy: 127.0.0.1")
    assert complaint == "3: trusted_proxy: unknown key; did you mean `trusted_proxies`?"
