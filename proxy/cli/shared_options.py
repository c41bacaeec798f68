"""Options of several commands."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Final

import click

from proxy.cli.option_group import Decorator
from proxy.cli.param_types import TimeParam

ROUTING_FILE: Final = click.Path(path_type=Path, dir_okay=False)


def config_option(argument: str = "file", help_text: str = "The routing file.") -> Decorator:
    """Return `--config`, passed as `argument`: a routing.yaml."""
    return click.option(
        "--config",
        argument,
        type=ROUTING_FILE,
        default=Path("routing.yaml"),
        show_default=True,
        metavar="FILE",
        help=help_text,
    )


def actor_option() -> Decorator:
    """Return `--who`, passed as `actor`: the person who makes a change."""
    return click.option("--who", "actor", default=_current_user, show_default="user@host", help="Your name.")


def _current_user() -> str:
    """Return the user as `user@host`, even without an entry in the user database."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    import socket  # only for a person who is not named

    return f"{user}@{socket.gethostname()}"


def since_option(default: str, help_text: str) -> Decorator:
    """Return `--since`: the beginning of a period."""
    return click.option("--since", type=TimeParam(), default=default, show_default=True, metavar="TIME", help=help_text)


def hang_after_option(seconds: float) -> Decorator:
    """Return `--hang-after`, by default `seconds`."""
    return click.option(
        "--hang-after",
        type=click.FloatRange(min=0.1),
        default=seconds,
        show_default=True,
        metavar="SECONDS",
        help="Time without an answer that counts as a hang; a busy machine gets more.",
    )


def strict_option() -> Decorator:
    """Return `--strict`: compare which dates are equal, and in which order ids, dates and documents are."""
    return click.option(
        "--strict",
        is_flag=True,
        help="Also compare which dates are equal, the order of ids, dates and documents, and calls' headers.",
    )
