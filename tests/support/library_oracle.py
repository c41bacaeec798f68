"""The legacy's own libraries, run under node, as the judges of what the native side makes of a value."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

SCRIPT = Path(__file__).with_name("library_oracle.js")


class Refused(Exception):
    """What a library threw; the message is its own."""


class Libraries:
    """One child process, asked one question after the other."""

    def __enter__(self) -> Libraries:
        self._child = subprocess.Popen(
            ["node", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._child.communicate()

    def ask(self, name: str, *values: object) -> Any:
        """The answer, as JSON holds it; raises `Refused`."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([name, *values]) + "\n")
        self._child.stdin.flush()
        answer = json.loads(self._child.stdout.readline())
        if isinstance(answer, dict):
            raise Refused(answer["error"])
        return answer[0]
