"""The real mongoose in a Node process with the demo legacy's libraries: questions in a line, then their answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bson import Int64, ObjectId, json_util
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import UNDEFINED

HERE = Path(__file__).parent
MODULES = HERE.parents[1] / "demo" / "legacy" / "node_modules"
CANONICAL = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, datetime_conversion=DatetimeConversion.DATETIME_MS
)


class Oracle:
    """A Node process with mongoose."""

    def __init__(self) -> None:
        self._node = subprocess.Popen(
            ["node", str(HERE / "mongoose_oracle.js")],
            env={**os.environ, "NODE_PATH": str(MODULES), "NODE_ENV": "production", "TZ": "UTC"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, operation: str, **question: object) -> dict[str, Any]:
        """Return the answer to a question."""
        (answer,) = self.call_all(operation, [question])
        return answer

    def call_all(self, operation: str, questions: Iterable[Mapping[str, object]]) -> list[dict[str, Any]]:
        """Return the answers to questions of one kind, which together wait for the other process once."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps([_marked({"ask": operation, **question}) for question in questions]) + "\n")
        self._node.stdin.flush()
        answers: list[dict[str, Any]] = json.loads(self._node.stdout.readline(), object_hook=_one_spelling)
        return answers

    def close(self) -> None:
        """End the process."""
        self._node.communicate("")


def extended(value: object) -> Any:
    """Return a stored value in canonical extended JSON, in which numbers have their stored type."""
    return json.loads(json_util.dumps(value, json_options=CANONICAL), object_hook=_one_spelling)


def _one_spelling(held: dict[str, Any]) -> dict[str, Any]:
    """Return doubles in Python's spelling."""
    double = held.get("$numberDouble")
    return {"$numberDouble": repr(float(double))} if isinstance(double, str) else held


def _marked(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    if value is UNDEFINED:
        return {"\x01": "undefined"}
    if isinstance(value, ObjectId | DatetimeMS | Int64):
        return {"\x01": "ejson", "value": extended(value)}
    return value
