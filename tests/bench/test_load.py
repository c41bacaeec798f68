"""The output of `wrk` as a reading: each unit, failed requests, and output without figures."""

from __future__ import annotations

import pytest

from bench.load import Reading, parse

OUTPUT = """Running 3s test @ http://127.0.0.1:4500/
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.33s    29.81ms   1.37s    81.25%
    Req/Sec     5.50      0.71     6.00    100.00%
  Latency Distribution
     50%  {p50}
     75%    1.36s 
     90%    1.37s 
     99%  {p99}
  16 requests in 3.04s, 1.92KB read
{errors}Requests/sec:      5.26
Transfer/sec:     646.98B
"""  # noqa: W291


def output(p50: str = "  1.34ms", p99: str = "  1.37s ", errors: str = "") -> str:
    return OUTPUT.format(p50=p50, p99=p99, errors=errors)


@pytest.mark.parametrize(
    ("printed", "milliseconds"),
    [("512.00us", 0.512), ("  1.37ms", 1.37), ("  1.37s ", 1370.0), ("  2.00m ", 120_000.0), ("  1.00h ", 3_600_000.0)],
)
def test_percentile_is_read_in_each_unit(printed: str, milliseconds: float) -> None:
    reading = parse(output(p50=printed, p99=printed))
    assert [reading.p50, reading.p99] == pytest.approx([milliseconds] * 2)


def test_failures_of_requests_and_sockets_are_added() -> None:
    errors = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 5\n"
    assert parse(output(errors=errors)) == Reading(5.26, 1.34, 1370.0, 15)


@pytest.mark.parametrize("missing", ["     50%", "     99%", "Requests/sec:"])
def test_output_without_a_figure_ends_the_bench(missing: str) -> None:
    with pytest.raises(SystemExit, match="wrk printed no"):
        parse(output().replace(missing, "never"))


def test_load_without_answers_raises_an_error() -> None:
    with pytest.raises(SystemExit, match="no request was answered"):
        parse(output().replace("5.26", "0.00"))
