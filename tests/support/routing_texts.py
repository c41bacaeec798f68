"""Texts of routing.yaml, and their problems as `check` prints them."""

from __future__ import annotations

import pytest

from proxy.config.loading import parse
from proxy.config.problems import ConfigError

WHOLE = """\
legacy:
  url: ${LEGACY_URL:-http://127.0.0.1:4500}
  timeouts: {connect: 500ms, response: 30s}
native: handlers.app:app
bucketing: {key: [jwt:userID, header:X-Client-Id, cookie:sid, client-ip], salt: scribe-2026}
overrides: {secret: 0123456789abcdef}
served_by: no
allowed_origins: http://localhost:3000, https://app.example
x-strict: &strict {error_rate: 1%, latency: 1.5x}
routes:
  - name: prompts.list
    match: GET /api/prompts
    native: 25%
    group: prompts
    shadow: 100%
    guard: *strict
  - name: prompts.create
    match: POST /api/prompts
    shadow: {share: 5%, writes: dry_run}
    rollout: {stages: [1%, 10%, 100%], bake_time: 7d, gates: {mismatch: 0.1%, errors: 0.1%}, approve: true}
  - name: transcription
    match: WS /transcription-stream
    timeouts: {response: 2m}
    pin: legacy
"""


def faults(text: str, **env: str) -> list[str]:
    """Return the problems of a text, as `line: key: message`."""
    with pytest.raises(ConfigError) as caught:
        parse(text, env, "f")
    return [problem.located("f").removeprefix("f:").strip() for problem in caught.value.problems]


def routes(*lines: str, native: str = "native: a:b") -> str:
    """Return a file with these routes, the first one on line 4."""
    return "\n".join(["legacy: {url: http://x}", native, "routes:", *(f"  {line}" for line in lines)])
