"""The options and the progress bar that `record` and `verify` share."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from proxy.cli.played_service import progress_bar


@pytest.mark.parametrize(("terminal", "shown"), [(True, True), (False, False)])
def test_progress_bar_is_shown_on_terminals_only(terminal: bool, shown: bool) -> None:
    output = io.StringIO()
    with progress_bar(2, Console(file=output, force_terminal=terminal, width=100)) as advance:
        advance("my notes")
        advance("login")
    assert ("2/2" in output.getvalue(), "login" in output.getvalue()) == (shown, shown)
