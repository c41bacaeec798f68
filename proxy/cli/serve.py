"""`scribe-proxy serve`: run the gateway until it is stopped.

The two sockets are bound here before all else, so that a port in use is reported immediately. Workers inherit them.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import click
import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from proxy.backends.native import NativeUnavailable, find_app, import_app
from proxy.cli.config_file import show_problems
from proxy.config.problems import ConfigError
from proxy.config.reading import PIN_VARIABLE
from proxy.database.database import Database, InvalidDatabaseUrl, InvalidDriver
from proxy.observability import tracing
from proxy.observability.log_writer import configure_logging, flush_logs
from proxy.rollout.hub import StateHub
from proxy.runtime.file_limit import raise_file_limit
from proxy.runtime.garbage import without_collection
from proxy.runtime.interrupts import end_cleanly_on_termination, ignore_hang_ups
from proxy.runtime.last_good import LastGood, LoadedConfig, default_state_directory, load_config
from proxy.runtime.listeners import ListenerAddress
from proxy.runtime.server import GatewayServer
from proxy.runtime.standard_streams import open_closed_streams
from proxy.runtime.worker import WorkerSettings, create_worker_app
from proxy.runtime.worker_group import HANG_TIMEOUT, WorkerGroup
from proxy.server.settings import uvicorn_settings

logger = logging.getLogger("scribe_proxy")

MIN_TOKEN: Final = 16
"""Minimum characters of OPS_TOKEN if the ops listener is not on loopback."""


@click.command()
@click.option(  # unlike `config_option`, accepts a directory, the result of a missing mount: the last good file is used
    "--config",
    "file",
    type=click.Path(path_type=Path),
    default=Path("routing.yaml"),
    show_default=True,
    metavar="FILE",
    help="The routing file.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the public listener.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port of the public listener."
)
@click.option(
    "--ops-host",
    default="127.0.0.1",
    show_default=True,
    help="Address of the ops listener; other than loopback, it needs OPS_TOKEN.",
)
@click.option(
    "--ops-port", default=8001, show_default=True, type=click.IntRange(0, 65535), help="Port of the ops listener."
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Number of processes.")
@click.option(
    "--grace", default=30, show_default=True, metavar="SECONDS", help="Time for requests in flight at a shutdown."
)
@click.option(
    "--app-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("."),
    show_default=True,
    metavar="DIR",
    help="Directory to import the native app from first.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SCRIBE_PROXY_STATE_DIR",
    show_envvar=True,
    metavar="DIR",
    help="Directory for the last good FILE, for restarts; else $STATE_DIRECTORY, or scribe-proxy in $XDG_STATE_HOME.",
)
def serve(
    file: Path,
    host: str,
    port: int,
    ops_host: str,
    ops_port: int,
    workers: int,
    grace: int,
    app_dir: Path,
    state_dir: Path | None,
) -> None:
    """Run the gateway.

    An invalid FILE is fatal, unless the gateway has run with an earlier version of it. The gateway then starts with
    that version, and reports the errors on the ops page, in the log and in the metric scribe_proxy_config_valid.
    """
    open_closed_streams()
    sys.path.insert(0, str(app_dir.resolve()))
    token, viewer_token = _ops_tokens(port, ops_host, ops_port)
    configure_logging()
    with ExitStack() as stack:
        state = _writable(state_dir or default_state_directory(os.environ), stack)
        loaded = _checked(file, LastGood(state, file), workers)
        public = stack.enter_context(_bound(host, port))
        ops = stack.enter_context(_bound(ops_host, ops_port, "ops-"))
        logger.info("gateway on %s, ops on %s, %s", _address(public), _address(ops), file)
        hub = Path(_temporary(stack)) / "state.sock" if workers > 1 else None
        settings = WorkerSettings(file.absolute(), ListenerAddress.of(ops), token, state, hub, viewer_token)
        app = partial(create_worker_app, settings, None if workers > 1 else loaded)
        _run(_uvicorn_config(app, workers, grace), [public, ops], hub)


def _ops_tokens(port: int, ops_host: str, ops_port: int) -> tuple[str | None, str | None]:
    """Return OPS_TOKEN and OPS_VIEWER_TOKEN. Raises click.UsageError if they leave the ops listener open."""
    token, viewer_token = (os.environ.get(name) or None for name in ("OPS_TOKEN", "OPS_VIEWER_TOKEN"))
    _refuse_open_ops(port, ops_host, ops_port, token)
    _refuse_viewer_token(ops_host, token, viewer_token)
    return token, viewer_token


def _uvicorn_config(app: Callable[[], ASGIApp], workers: int, grace: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=True,
        workers=workers,
        log_config=None,
        loop="uvloop" if sys.platform != "win32" else "auto",
        backlog=2048,
        timeout_graceful_shutdown=grace,
        timeout_worker_healthcheck=int(HANG_TIMEOUT),
        **uvicorn_settings(),
    )


def _refuse_open_ops(port: int, ops_host: str, ops_port: int, token: str | None) -> None:
    """Raise UsageError if the ops pages would be open to more than operators."""
    if port == ops_port and port != 0:
        raise click.UsageError(f"--port and --ops-port are both {port}: the ops pages need a port of their own")
    if _is_loopback(ops_host):
        return
    if token is None:
        raise click.UsageError(f"--ops-host {ops_host} is not loopback: set OPS_TOKEN")
    if _is_short(token):
        raise click.UsageError(f"--ops-host {ops_host} is not loopback: OPS_TOKEN needs {MIN_TOKEN} characters or more")


def _refuse_viewer_token(ops_host: str, token: str | None, viewer_token: str | None) -> None:
    """Raise UsageError if the viewer's token would protect nothing."""
    if viewer_token is None:
        return
    if token is None:
        raise click.UsageError(
            "OPS_VIEWER_TOKEN is set, but OPS_TOKEN is not: without it everybody can read the ops pages"
        )
    if viewer_token == token:
        raise click.UsageError("OPS_VIEWER_TOKEN and OPS_TOKEN are the same: a viewer would be an operator")
    if _is_short(viewer_token) and not _is_loopback(ops_host):
        raise click.UsageError(
            f"--ops-host {ops_host} is not loopback: OPS_VIEWER_TOKEN needs {MIN_TOKEN} characters or more"
        )


def _is_short(token: str) -> bool:
    """Return whether a token has too few characters; white space around it protects nothing."""
    return len(token.strip()) < MIN_TOKEN


def _run(config: uvicorn.Config, sockets: list[socket.socket], hub: Path | None) -> None:
    raise_file_limit()
    ignore_hang_ups()
    with suppress(KeyboardInterrupt):
        if hub is not None:
            _run_workers(config, sockets, hub)
        else:
            _serve_alone(config, sockets)


def _serve_alone(config: uvicorn.Config, sockets: list[socket.socket]) -> None:
    """Serve in this process. Exits with 0 after SIGTERM and with 1 if it cannot start, as with several workers."""
    end_cleanly_on_termination()
    try:
        GatewayServer(config).run(sockets)
    except SystemExit as end:
        sys.exit(1 if end.code == STARTUP_FAILURE else end.code)


def _run_workers(config: uvicorn.Config, sockets: list[socket.socket], hub: Path) -> None:
    """Run the supervisor; `hub` is in a directory for this run alone. Exits with 1 if no worker can serve."""
    metrics_directory = hub.parent / "metrics"
    metrics_directory.mkdir()
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(metrics_directory))
    states = StateHub(hub)
    states.start()
    group = WorkerGroup(config, sockets)
    try:
        group.run()
    finally:
        states.stop()
    flush_logs()
    if group.failed:
        sys.exit(1)


def _temporary(stack: ExitStack) -> str:
    return stack.enter_context(tempfile.TemporaryDirectory(prefix="scribe-proxy-", ignore_cleanup_errors=True))


def _writable(directory: Path | None, stack: ExitStack) -> Path:
    """Return the directory, or if there is none or it is not writable a temporary one for the workers of this run."""
    if directory is None:
        logger.warning("this user has no home, so no restart has the last good configuration: see --state-dir")
        return Path(_temporary(stack))
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return directory
    except OSError as error:
        logger.warning(
            "%s cannot be written (%s), so no restart has the last good configuration: see --state-dir",
            directory,
            error.strerror,
        )
        return Path(_temporary(stack))


def _checked(file: Path, last_good: LastGood, workers: int) -> LoadedConfig:
    """Load the configuration; report an error that would stop every worker in one line, once.

    With several workers, each of them imports the native app, but the supervisor does not.
    """
    try:
        with without_collection():
            loaded = load_config(file, os.environ, last_good)
            config = loaded.config
            if config.native is not None:
                (import_app if workers == 1 else find_app)(config.native)
        Database.of(config.mongodb)
        tracing.is_requested(os.environ)
        if config.pin is not None:
            logger.warning(
                "%s is %s: that backend answers every request, whatever the shares", PIN_VARIABLE, config.pin
            )
        return loaded
    except ConfigError as error:
        show_problems(error)
        sys.exit(1)
    except (NativeUnavailable, InvalidDriver, tracing.TracingUnavailable) as error:
        raise click.ClickException(str(error)) from error
    except InvalidDatabaseUrl as error:
        raise click.ClickException(f"{error}; it is from mongodb of {file}, or MONGODB_URL") from error


@contextmanager
def _bound(host: str, port: int, prefix: str = "") -> Iterator[socket.socket]:
    """Yield a bound socket. Raises ClickException, which names the option to change: `prefix` and `host` or `port`."""
    family, name = (socket.AF_INET6, f"[{host}]") if ":" in host else (socket.AF_INET, host)
    with ExitStack() as stack:
        try:
            listener = stack.enter_context(socket.socket(family))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
        except OSError as error:
            option = "port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "host"
            message = f"cannot listen on {name}:{port}: {error.strerror}; choose another --{prefix}{option}"
            raise click.ClickException(message) from error
        listener.set_inheritable(True)
        yield listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
