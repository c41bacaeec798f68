"""Asks the real mongoose: a node process with the stand-in's libraries, a question and an answer a line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
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
    """A running node with mongoose in it."""

    def __init__(self) -> None:
        self._node = subprocess.Popen(
            ["node", str(HERE / "mongoose_oracle.js")],
            env={**os.environ, "NODE_PATH": str(MODULES), "NODE_ENV": "production"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, ask: str, **question: object) -> dict[str, Any]:
        """One question, answered."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps(_marked({"ask": ask, **question})) + "\n")
        self._node.stdin.flush()
        answer: dict[str, Any] = json.loads(self._node.stdout.readline(), object_hook=_one_spelling)
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._node.communicate("")


def extended(value: object) -> Any:
    """A stored value in canonical extended JSON, numbers by their stored type."""
    return json.loads(json_util.dumps(value, json_options=CANONICAL), object_hook=_one_spelling)


def _one_spelling(held: dict[str, Any]) -> dict[str, Any]:
    """Doubles spelled in one way."""
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
