"""Documents read, changed and saved natively, in the form in which the mongoose oracle returns its own."""

from __future__ import annotations

import json
import re
from typing import Any

from handlers.legacy.javascript import JavaScriptTypeError, stringify
from handlers.legacy.mongoose import (
    Document,
    MongooseError,
    Schema,
)
from tests.support.mongoose_oracle import extended


def without_fresh_values(value: object, asked: object) -> object:
    """Fresh ids and dates by their kind: they differ from run to run."""
    text = value if isinstance(value, str) else json.dumps(value)
    known = json.dumps(asked, default=str)

    def name(match: re.Match[str]) -> str:
        return match[0] if match[1] in known else f"<{len(match[1])}>"

    text = re.sub(r"\b([0-9a-f]{24})\b", name, text)
    text = re.sub(r"2026-[0-9T:.-]+Z", "<now>", text)
    return re.sub(r'"17[0-9]{11}"', '"<ms>"', text)


def show(document: Document) -> str:
    return stringify(document.to_json())


def read_and_save(
    schema: Schema, stored: dict[str, Any], changed: dict[str, Any], push: dict[str, Any]
) -> dict[str, Any]:
    ours: dict[str, Any] = {}
    try:
        document = Document.read(schema, stored)
        ours["json"] = show(document)
        for name, value in changed.items():
            document.set(name, value)
        for name, value in push.items():
            document.push(name, value)
        ours["changed"] = show(document)
        document.validate()
    except (MongooseError, JavaScriptTypeError) as error:
        return {**ours, "error": str(error)}
    changes = document.changes()
    return {**ours, "delta": ordered(extended([changes.where, changes.update]))} if changes else ours


def ordered(delta: list[dict[str, Any]]) -> object:
    """The order of operators and of the fields below them means nothing to MongoDB."""
    where, update = delta
    return [where, {op: dict(sorted(fields.items())) for op, fields in sorted(update.items())}]
