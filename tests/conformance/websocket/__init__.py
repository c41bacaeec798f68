"""WebSocket conformance: cases as bytes, played to the same peer directly and through the gateway, must look the same.

`python -m tests.conformance.websocket` plays all of them in every delivery; `--json` prints the counts for
docs/conformance.md (`summary`). Cases that a client plays are in `client_cases`, those that a server plays in
`server_cases`.
"""

from __future__ import annotations

from tests.conformance.websocket.summary import summary

__all__ = ["summary"]
