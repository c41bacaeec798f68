"""The end of a command that cannot use a service, a database, a file or a name that it needs."""

from __future__ import annotations

from typing import Final

import click

UNUSABLE: Final = 2
"""Exit code of such a command."""


class Unusable(click.ClickException):
    """A service, database, file or name that a command cannot use; reported in one line."""

    exit_code = UNUSABLE
