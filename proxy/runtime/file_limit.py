"""The limit on a process's open files. Each connection takes one of them."""

from __future__ import annotations

import contextlib
import sys


def raise_file_limit() -> None:
    """Raise the soft limit on open files to the hard one, as Node does. Child processes inherit it.

    Many systems start services with a soft limit of 1,024. At the limit, libuv closes each new connection without an
    answer, and no connection to legacy can be opened.
    """
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS has a lower limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
