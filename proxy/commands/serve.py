"""`scribe-proxy serve`: the gateway, until it is told to stop.

The two sockets are bound here, before anything else, so that a taken port is told at once; workers inherit them.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from proxy import tracing
from proxy.config import ConfigError, load
from proxy.contract.agreement import agree
from proxy.database import Database, NoDatabase
from proxy.native import NativeUnavailable, import_app
from proxy.server import uvicorn_settings
from proxy.worker import WorkerSettings, create_worker_app


@click.command()
@click.option(
    "--config", "file", type=click.Path(path_type=Path), default=Path("routing.yaml"), show_default=True, metavar="FILE"
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the public listener.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--ops-host", default="127.0.0.1", show_default=True, help="Beyond loopback, OPS_TOKEN must be set.")
@click.option("--ops-port", default=8001, show_default=True, type=click.IntRange(0, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes.")
@click.option("--grace", default=30, show_default=True, metavar="SECONDS", help="For requests under way at the end.")
def serve(file: Path, host: str, port: int, ops_host: str, ops_port: int, workers: int, grace: int) -> None:
    """Run the gateway."""
    token = os.environ.get("OPS_TOKEN") or None
    if not _is_loopback(ops_host) and token is None:
        raise click.UsageError(f"--ops-host {ops_host} is not loopback: set OPS_TOKEN")
    _check(file)
    with _bound(host, port) as public, _bound(ops_host, ops_port) as ops:
        with suppress(OSError):  # nobody has to read it
            click.echo(f"gateway on {_address(public)}, ops on {_address(ops)}, {file}", err=True)
        config = uvicorn.Config(
            partial(create_worker_app, WorkerSettings(file.absolute(), ops.getsockname()[1], token)),
            factory=True,
            workers=workers,
            log_config=None,
            loop="uvloop" if sys.platform != "win32" else "auto",
            backlog=2048,
            timeout_graceful_shutdown=grace,
            timeout_worker_healthcheck=60,  # a worker that still starts is killed after it, on a busy machine for ever
            **uvicorn_settings(),
        )
        _run(config, [public, ops])


def _run(config: uvicorn.Config, sockets: list[socket.socket]) -> None:
    try:
        if config.workers > 1:
            os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="scribe-proxy-"))
            Multiprocess(config, sockets).run()
        else:
            uvicorn.Server(config).run(sockets)
    except KeyboardInterrupt:
        pass


def _check(file: Path) -> None:
    """What would stop every worker is told once, here, and in a line."""
    try:
        config = load(file, os.environ)
        agree(file, config)
        if config.native is not None:
            import_app(config.native)
        Database.of(config.mongodb)
        tracing.is_asked_for(os.environ)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem.located(str(file)), err=True)
        sys.exit(1)
    except (NativeUnavailable, NoDatabase, tracing.TracingUnavailable) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from error
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
