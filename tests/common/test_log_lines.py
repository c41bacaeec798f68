"""Records of `logging` as JSON lines."""

from __future__ import annotations

import json
import logging
import os
import sys

from common.log_lines import REQUEST_ID, JsonFormatter


def test_record_is_one_json_line_with_its_time() -> None:
    formatter = JsonFormatter("shadow")
    record = logging.LogRecord("scribe_proxy", logging.WARNING, "f.py", 1, "two\nlines of %s", ("Ünï",), None)
    record.created = 1_795_356_309.0567
    line = formatter.format(record)
    assert "\n" not in line
    parsed = json.loads(line)
    assert parsed.pop("pid") == os.getpid()
    assert parsed == {
        "time": "2026-11-22T14:05:09.056Z",
        "level": "warning",
        "logger": "scribe_proxy",
        "process": "shadow",
        "message": "two\nlines of Ünï",
    }
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        record.exc_info = sys.exc_info()
    assert "ZeroDivisionError" in json.loads(formatter.format(record))["exception"]


def test_record_of_a_request_has_its_id() -> None:
    record = logging.LogRecord("scribe_proxy", logging.WARNING, "f.py", 1, "failed", (), None)
    token = REQUEST_ID.set("8b9effb6-946")
    try:
        assert json.loads(JsonFormatter().format(record))["request"] == "8b9effb6-946"
    finally:
        REQUEST_ID.reset(token)
    assert "request" not in json.loads(JsonFormatter().format(record))
