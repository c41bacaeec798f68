"""The `server` section: timeouts of the listeners."""

from __future__ import annotations

import pytest

from proxy.config.loading import parse
from proxy.config.problems import ConfigError
from proxy.config.service_models import Server

HEAD = "legacy: {url: http://x}\n"


def read(section: str) -> Server:
    return parse(f"{HEAD}server: {section}", {}).server


def complaints(*lines: str) -> list[str]:
    """Return the problems of a `server` section whose first key is on line 3, as `line: where: message`."""
    with pytest.raises(ConfigError) as caught:
        parse("\n".join([HEAD.strip(), "server:", *(f"  {line}" for line in lines)]), {}, "f")
    return [problem.located("f").removeprefix("f:") for problem in caught.value.problems]


def test_defaults_are_those_of_node() -> None:
    server = parse(HEAD, {}).server
    assert (server.keep_alive, server.header_timeout, server.request_timeout) == (5, 60, 300)
    assert (server.websocket_ping_interval, server.websocket_ping_timeout) == (20, 20)


def test_server_keys_all_accept_a_duration() -> None:
    section = "{keep_alive: 75s, header_timeout: 500ms, request_timeout: 2m, websocket_ping_interval: 1h}"
    server = read(section)
    assert (server.keep_alive, server.header_timeout, server.request_timeout) == (75, 0.5, 120)
    assert server.websocket_ping_interval == 3600


@pytest.mark.parametrize("key", [key for key in Server.model_fields if key != "proxy_protocol"])
@pytest.mark.parametrize("value", ["0s", "-1s", "soon", "true", "[1s]", "366d"])
def test_wrong_duration_is_reported_with_its_line(key: str, value: str) -> None:
    (complaint,) = complaints("# a comment", f"{key}: {value}")
    assert complaint.startswith(f"4: server.{key}: ")


def test_bare_number_gets_a_suggestion() -> None:
    (complaint,) = complaints("keep_alive: 5")
    assert complaint.endswith("did you mean 5s?")


def test_misspelt_key_gets_a_suggestion() -> None:
    (complaint,) = complaints("keepalive: 5s")
    assert complaint.startswith("3: server.keepalive: ")
    assert "keep_alive" in complaint


def test_header_timeout_above_request_timeout_is_refused() -> None:
    assert read("{request_timeout: 10s, header_timeout: 10s}").header_timeout == 10
    assert complaints("request_timeout: 10s", "header_timeout: 11s") == [
        "4: server.header_timeout: must be at most server.request_timeout, which is 10s"
    ]


def test_request_timeout_below_the_header_timeout_is_valid() -> None:
    assert read("{request_timeout: 10s}").request_timeout == 10
