"""Keys for trusted proxies and browsers."""

from __future__ import annotations

import pytest

from proxy.config.loading import parse
from proxy.config.problems import ConfigError

HEAD = "legacy: {url: http://x}\nnative: a:b\n"


def complaints(text: str) -> list[str]:
    """Return the problems of a file whose first line after the head is line 3, as `line: where: message`."""
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


def test_sticky_cookie_has_defaults_and_comes_first() -> None:
    bucketing = parse(f"{HEAD}bucketing: {{cookie: {{}}, key: client-ip}}", {}).bucketing
    assert bucketing.cookie is not None
    assert (bucketing.cookie.name, bucketing.cookie.max_age) == ("scribe_caller", 365 * 86_400)
    assert [str(source) for source in bucketing.sources] == ["cookie:scribe_caller", "client-ip"]


@pytest.mark.parametrize(
    ("cookie", "complaint"),
    [
        ("{name: 'a b'}", "5: bucketing.cookie.name: must be a cookie's name"),
        ("{name: scribe_ops}", "5: bucketing.cookie.name: is the name of the ops pages' cookie; choose another"),
        ("{name: sid}", "4: bucketing.key: cookie:sid is bucketing.cookie, which comes before all keys"),
        ("{max_age: 30}", "5: bucketing.cookie.max_age: must be a duration"),
        ("{maxage: 30d}", "5: bucketing.cookie.maxage: unknown key; did you mean `max_age`?"),
        ("true", "5: bucketing.cookie: must be a mapping"),
    ],
)
def test_wrong_sticky_cookie_is_reported_with_its_line(cookie: str, complaint: str) -> None:
    (problem,) = complaints(f"bucketing:\n  key: cookie:sid\n  cookie: {cookie}\n")
    assert problem.startswith(complaint)


def test_ops_hosts_are_names() -> None:
    assert parse(f"{HEAD}ops: {{hosts: 'Ops.Example, gateway'}}", {}).ops.hosts == ("ops.example", "gateway")


@pytest.mark.parametrize("written", ["https://ops.example/", "ops.example:8001"])
def test_wrong_ops_host_is_reported_with_its_line(written: str) -> None:
    (complaint,) = complaints(f"ops:\n  hosts:\n    - {written}\n")
    assert complaint.startswith("5: ops.hosts[#1]: must be a host name without scheme and port")
    assert "did you mean ops.example?" in complaint


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("proxy_protocol: true", "4: server.proxy_protocol: needs `trusted_proxies`"),
        ("proxy_protocol: v2", "4: server.proxy_protocol: must be true or false"),
        ("proxy_protocols: true", "4: server.proxy_protocols: unknown key; did you mean `proxy_protocol`?"),
    ],
)
def test_wrong_proxy_protocol_is_reported_with_its_line(section: str, complaint: str) -> None:
    (problem,) = complaints(f"server:\n  {section}\n")
    assert problem.startswith(complaint)
