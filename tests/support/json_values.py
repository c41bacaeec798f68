"""Hypothesis strategies for JSON values of answers."""

from __future__ import annotations

from hypothesis import strategies as st

from proxy.types import JSON

ID, OTHER_ID = "64b7f0f0f0f0f0f0f0f0f0f0", "64b7f0f0f0f0f0f0f0f0f0f1"
TEXTS = st.sampled_from(["active", "ended", ID, "2026-11-22T19:41:23.111Z", "2026-13-45T99:00:00Z", "eyJh.eyJi.c", ""])
LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | TEXTS | st.text(max_size=3)
VALUES: st.SearchStrategy[JSON] = st.recursive(
    LEAVES,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", ID, OTHER_ID]), below, max_size=3)
    ),
    max_leaves=8,
)
