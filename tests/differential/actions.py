"""Drawn requests (see `proxy.fuzz.requests` for their placeholders)."""

from __future__ import annotations

from proxy.fuzz.requests import FuzzRequest as Action
from proxy.fuzz.requests import encode_body as spelled

__all__ = ["Action", "spelled"]
