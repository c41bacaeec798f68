"""Messages for Slack and Teams: one line, escaped, with a link if the ops pages have an address."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest

from proxy.observability.webhook_formats import message_body, sentence

DIFFERENCE = {"id": "abc", "route": "notes.list", "field": "body.<id>", "kind": "value", "revision": "r2"}
ROLLBACK = {"route": "notes.list", "before": 25.0, "after": 0.0, "actor": "Ada", "reason": "p99 & errors"}


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (
            "difference_returned",
            {"differences": [DIFFERENCE], "total": 1},
            "1 difference has returned, native r2: notes.list body.<id> (value)",
        ),
        (
            "new_difference",
            {"differences": [{**DIFFERENCE, "field": str(n), "revision": None} for n in range(7)], "total": 30},
            "30 new differences: " + ", ".join(f"notes.list {n} (value)" for n in range(5)) + " and 25 more",
        ),
        ("rollback", ROLLBACK, "notes.list: rolled back by Ada from 25% to 0%: p99 & errors"),
        ("gate", {**ROLLBACK, "before": 0.0, "actor": "schedule"}, "notes.list: gate failed at 0%: p99 & errors"),
        ("ack", {**ROLLBACK, "before": 0.0}, "notes.list: acknowledged by Ada at 0%: p99 & errors"),
        ("config_refused", {"in_force": "ab12"}, "routing.yaml is refused; ab12 stays in force"),
        (
            "config_refused",
            {"in_force": "ab12", "problems": ["routing.yaml:3: a: unknown key", "routing.yaml:9: b: unknown key"]},
            "routing.yaml is refused (routing.yaml:3: a: unknown key, and 1 more); ab12 stays in force",
        ),
        ("drift", {}, "drift"),
    ],
)
def test_event_is_formatted_as_a_line(kind: str, data: dict[str, Any], expected: str) -> None:
    assert sentence(kind, data) == expected


def test_slack_gets_an_escaped_text_with_a_link() -> None:
    data = {"differences": [DIFFERENCE], "total": 1}
    body = json.loads(message_body("slack", "new_difference", data, "https://ops.example/"))
    assert "body.&lt;id&gt;" in body["text"]
    assert body["text"].endswith("<https://ops.example/differences/abc|Open>")
    assert "|Open>" not in json.loads(message_body("slack", "new_difference", data, ""))["text"]


@pytest.mark.parametrize("text", ["a & b", "<@U1> > b", "&lt;b&gt;", "&amp;amp;", "<!channel>"])
def test_text_for_slack_is_escaped_and_reads_back(text: str) -> None:
    body = json.loads(message_body("slack", "rollback", {**ROLLBACK, "reason": text}, ""))
    assert "<" not in body["text"]
    assert ">" not in body["text"]
    assert (
        html.unescape(body["text"])
        == body["blocks"][0]["text"]["text"]
        == f"notes.list: rolled back by Ada from 25% to 0%: {text}"
    )


def test_teams_gets_an_adaptive_card() -> None:
    body = json.loads(message_body("teams", "rollback", ROLLBACK, "https://ops.example"))
    card = body["attachments"][0]["content"]
    assert (body["type"], card["type"]) == ("message", "AdaptiveCard")
    assert "by Ada" in card["body"][0]["inlines"][0]["text"]
    assert card["actions"] == [
        {"type": "Action.OpenUrl", "title": "Open", "url": "https://ops.example/routes/notes.list/live"}
    ]


def test_names_of_fields_are_not_read_as_markup() -> None:
    # `*` and `_` are formatting in texts of Slack's type `mrkdwn` and in Teams' TextBlock
    fields = ({**DIFFERENCE, "field": f"body.*._id.*.{name}"} for name in ("a_b", "c_d"))
    data = {"differences": list(fields), "total": 2}
    text = sentence("new_difference", data)
    slack = json.loads(message_body("slack", "new_difference", data, "https://ops.example"))
    assert slack["blocks"][0]["text"] == {"type": "plain_text", "text": text, "emoji": False}
    assert slack["blocks"][1]["text"] == {"type": "mrkdwn", "text": "<https://ops.example/|Open>"}
    assert len(json.loads(message_body("slack", "new_difference", data, ""))["blocks"]) == 1
    teams = json.loads(message_body("teams", "new_difference", data, ""))
    block = teams["attachments"][0]["content"]["body"][0]
    assert (block["type"], block["inlines"]) == ("RichTextBlock", [{"type": "TextRun", "text": text}])
