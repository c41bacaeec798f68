"""Rollout states as pages and JSON show them."""

from __future__ import annotations

import pytest

from proxy.ops.rollout_views import ProgressView
from proxy.rollout.progress import Progress
from proxy.types import BasisPoints


@pytest.mark.parametrize(("limit", "shown"), [(50, None), (100, None), (2500, 25.0), (10_000, 50.0)])
def test_next_share_is_at_most_that_of_the_file(limit: int, shown: float | None) -> None:
    baking = Progress(True, BasisPoints(100), BasisPoints(5000), "bake_time", 60.0, ())
    view = ProgressView.of(baking, BasisPoints(limit))
    assert view is not None
    assert view.following == shown
