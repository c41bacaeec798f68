"""The legacy's libraries under Node, whose results native must equal."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

SCRIPT = Path(__file__).with_name("library_oracle.js")


class Refused(Exception):
    """Raised if a library throws; the message is the library's."""


class Libraries:
    """A child process that answers one question after the other."""

    def __enter__(self) -> Libraries:
        self._child = subprocess.Popen(
            ["node", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._child.communicate()

    def call(self, name: str, *values: object) -> Any:
        """Return the answer to a question as JSON. Raises `Refused`."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps([name, *values]) + "\n")
        self._child.stdin.flush()
        answer = json.loads(self._child.stdout.readline())
        if isinstance(answer, dict):
            raise Refused(answer["error"])
        return answer[0]
