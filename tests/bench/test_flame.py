"""Samples of py-spy as shares of the project's modules."""

from __future__ import annotations

from bench.flame import FLAME, LOOP, TITLE, shares_of, with_title

MAIN = "<module> (scribe-proxy:8);serve (proxy/cli/serve.py:90);run (asyncio/runners.py:190)"
SAMPLES = f"""
{MAIN} 1
{MAIN};data_received (proxy/server/protocol.py:7);send (proxy/gateway/direct.py:5);write (asyncio/transports.py:9) 5
{MAIN};data_received (proxy/server/protocol.py:7) 4
_worker (concurrent/futures/thread.py:81) 90
not a sample
"""


def test_sample_belongs_to_its_innermost_module() -> None:
    assert shares_of(SAMPLES.splitlines()) == {"proxy/gateway/direct": 0.5, "proxy/server/protocol": 0.4, LOOP: 0.1}


def test_flame_graph_does_not_name_the_machine() -> None:
    svg = '<text id="title" x="50%">/opt/py-spy record --pid 7</text><text>x</text>'
    assert with_title(svg) == f'<text id="title" x="50%">{TITLE}</text><text>x</text>'
    assert f">{TITLE}<" in FLAME.read_text()
