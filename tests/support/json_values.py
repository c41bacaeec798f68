"""JSON values of answers: Hypothesis strategies, and the texts in a value."""

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


def texts(value: JSON) -> list[str]:
    """Return every text, name and number above 9 in a value."""
    if isinstance(value, dict):
        return [*value, *(text for one in value.values() for text in texts(one))]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [str(value)] if isinstance(value, str) or (isinstance(value, int) and value > 9) else []
