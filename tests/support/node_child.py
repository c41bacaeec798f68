"""A Node process that evaluates JavaScript, whose results `handlers.legacy.javascript` must equal."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from types import TracebackType

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import (
    UNDEFINED,
    number_to_string,
    stringify,
)

LEGACY = Path(__file__).parents[2] / "demo" / "legacy"
SCRIPT = Path(__file__).with_name("node_child.cjs")


class Node:
    """A child process that answers one question a line. An error that it throws is raised as `Thrown`."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            ["node", "--stack-size=984", str(SCRIPT)],
            cwd=LEGACY,
            env={"TZ": "UTC", "PATH": "/usr/local/bin:/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._child.communicate()

    def call(self, question: str, *values: object) -> str:
        """Return the answer to a question as text. Raises Thrown."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([question, *map(spell, values)]) + "\n")
        self._child.stdin.flush()
        kind, answer = json.loads(self._child.stdout.readline())
        if kind == "thrown":
            raise Thrown(answer)
        assert isinstance(answer, str)
        return answer


class Thrown(Exception):
    """Raised if Node throws; the message is `name: message`."""


def spell(value: object) -> object:
    """Return a value as JSON for the child's `revive`, which restores undefined and BSON's types too."""
    if isinstance(value, dict):
        return {"object": [[key, spell(member)] for key, member in value.items()]}
    if isinstance(value, list):
        return [spell(member) for member in value]
    if value is None or (isinstance(value, str | bool) and not isinstance(value, Code)):
        return value
    return {"is": _kind(value)}


def _kind(value: object) -> list[object]:
    match value:
        case DatetimeMS():
            return ["date", int(value)]
        case ObjectId():
            return ["id", str(value)]
        case Decimal128():
            return ["decimal", str(value)]
        case Int64():
            return ["long", str(int(value))]
        case Timestamp():
            return ["timestamp", value.time, value.inc]
        case Regex():
            return ["regex", value.pattern, "".join(f for f, bit in _FLAGS.items() if value.flags & bit)]
        case Code():
            return ["code", str(value), None if value.scope is None else spell(dict(value.scope))]
        case DBRef():
            fields = {k: v for k, v in value.as_doc().items() if k not in ("$ref", "$id", "$db")}
            return ["reference", value.collection, spell(value.id), value.database, spell(fields)]
        case MinKey() | MaxKey():
            return [type(value).__name__]
        case bytes():
            return ["binary", value.hex(), value.subtype if isinstance(value, Binary) else 0]
    assert value is UNDEFINED or isinstance(value, int | float)
    return ["undefined"] if value is UNDEFINED else ["number", _number(float(value))]


_FLAGS = {"i": Regex("", "i").flags, "m": Regex("", "m").flags, "s": Regex("", "s").flags}


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def describe(value: object) -> str:
    """Return an unambiguous text of a value, equal to that of the child's `describe`."""
    if isinstance(value, list):
        return "[" + ",".join(map(describe, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{stringify(key)}:{describe(member)}" for key, member in value.items()) + "}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert not (isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 and value)
        return "-0" if value == 0 and math.copysign(1, value) < 0 else number_to_string(value)
    return stringify(value)
