"""Bodies of webhook requests: a Standard Webhooks event, or a message for Slack or Teams. Pure.

A message is one sentence for each event, with a link to the ops pages if `ops.url` is set. Both services show the
sentence as plain text, because names of fields contain `*` and `_`, which are formatting in their markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from proxy.wording import ROLLOUT_EVENTS

Format = Literal["standard", "slack", "teams"]
Data: TypeAlias = Mapping[str, Any]

MAX_NAMED: Final = 5
"""Maximum number of differences named in a message."""
_SLACK_LIMIT: Final = 3000
"""Maximum number of characters of a text in a Slack block."""
_TITLES: Final = {
    "new_difference": ("new difference", "new differences"),
    "contract_drift": ("new violation of the contract by legacy", "new violations of the contract by legacy"),
    "difference_returned": ("difference has returned", "differences have returned"),
}
_LABELS: Final = {**ROLLOUT_EVENTS, "share": "share changed"}  # by routing.yaml
"""Events of rollouts in words."""


def message_body(form: Format, kind: str, data: Data, ops_url: str) -> bytes:
    """Return the JSON body of an event of type `kind` for Slack or Teams."""
    text, path = sentence(kind, data), _path(kind, data)
    link = f"{ops_url.rstrip('/')}{path}" if ops_url else ""
    return json.dumps(_slack(text, link) if form == "slack" else _teams(text, link), sort_keys=True).encode()


def sentence(kind: str, data: Data) -> str:
    """Return an event as one sentence."""
    if kind in _TITLES:
        return _differences(kind, data)
    if kind == "config_refused":
        return f"routing.yaml is refused{_first(data.get('problems', ()))}; {_stays(data)} stays in force"
    if "route" not in data:
        return kind.replace("_", " ")
    before = _percent(data.get("before"))
    after = _percent(data.get("after"))
    change = f" from {before} to {after}" if before != after else f" at {after}"
    reason = f": {data['reason']}" if data.get("reason") else ""
    actor = f" by {data['actor']}" if data.get("actor") else ""
    label = _LABELS.get(kind, kind)
    if kind == "gate":  # the share stays, and the schedule is not the cause
        return f"{data['route']}: {label}{change}{reason}"
    return f"{data['route']}: {label}{actor}{change}{reason}"


def _first(problems: Sequence[str]) -> str:
    """Return the first problem in parentheses, and the number of others."""
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f" ({problems[0]}{more})" if problems else ""


def _stays(data: Data) -> str:
    return str(data.get("in_force") or "the last valid one")


def _differences(kind: str, data: Data) -> str:
    listed: Sequence[Data] = data["differences"]
    named = [f"{one['route']} {one['field']} ({one['kind']})" for one in listed[:MAX_NAMED]]
    total: int = data["total"]
    rest = f" and {total - len(named)} more" if total > len(named) else ""
    revision = f", native {listed[0]['revision']}" if listed[0].get("revision") else ""
    return f"{total} {_TITLES[kind][total != 1]}{revision}: {', '.join(named)}{rest}"


def _path(kind: str, data: Data) -> str:
    if kind in _TITLES:
        return f"/differences/{data['differences'][0]['id']}" if data["total"] == 1 else "/"
    return f"/routes/{data['route']}/live" if "route" in data else "/config"


def _slack(text: str, link: str) -> Data:
    """Return a message; its `text` is for clients and notifications that show no blocks."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    opened = f"<{link}|Open>"
    plain = {"type": "section", "text": {"type": "plain_text", "text": text[:_SLACK_LIMIT], "emoji": False}}
    linked = [{"type": "section", "text": {"type": "mrkdwn", "text": opened}}] if link else []
    return {"text": f"{escaped} {opened}" if link else escaped, "blocks": [plain, *linked]}


def _teams(text: str, link: str) -> Data:
    actions = [{"type": "Action.OpenUrl", "title": "Open", "url": link}] if link else []
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text}]}],
        "actions": actions,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _percent(value: object) -> str:
    return f"{value:g}%" if isinstance(value, int | float) else "?"
