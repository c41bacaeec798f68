"""The entry point of a process that `serve` starts: process-wide settings, then the gateway's app."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from uvicorn.config import STARTUP_FAILURE

from proxy.backends.native import NativeUnavailable
from proxy.config.problems import ConfigError
from proxy.observability.log_writer import configure_logging, flush_logs, redirect_standard_streams
from proxy.observability.process_metrics import remove_dead_workers
from proxy.rollout.hub import HubStore
from proxy.runtime.allocator import map_long_buffers
from proxy.runtime.last_good import LastGood, LoadedConfig
from proxy.runtime.listeners import ListenerAddress, ListenerDispatcher
from proxy.runtime.parent_death import exit_with_parent
from proxy.runtime.process import create_app

logger = logging.getLogger("scribe_proxy")

SWITCH_INTERVAL: Final = 0.00005
"""Python's thread switch interval in seconds (default 0.005). A thread of Motor needs the interpreter several times for
one operation, and each time waits for this long if the event loop is busy: 256 clients with 50 requests each brought
the p99 of other clients' queries to 100 ms or more with 0.001, to 16 to 53 ms with this; native's throughput still
reaches every bound of `make bench-quick`."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Arguments of a worker; picklable. `hub`: the supervisor's socket, if there are several workers."""

    file: Path
    ops_listener: ListenerAddress
    ops_token: str | None
    state_directory: Path
    hub: Path | None
    ops_viewer_token: str | None = None


def create_worker_app(settings: WorkerSettings, loaded: LoadedConfig | None = None) -> ListenerDispatcher:
    """Set up this process and return its app. `loaded`: the configuration, if this process has read it.

    The process exits if the file is refused and no last good one exists, or if the native app cannot be imported.
    """
    configure_logging()
    redirect_standard_streams()
    sys.setswitchinterval(SWITCH_INTERVAL)
    map_long_buffers()
    supervisor = multiprocessing.parent_process()
    if supervisor is not None and supervisor.pid is not None:
        exit_with_parent(supervisor.pid)  # otherwise workers of a killed supervisor hold its ports
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        remove_dead_workers(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
    last_good = LastGood(settings.state_directory, settings.file)
    hub = HubStore(settings.hub) if settings.hub is not None else None
    try:
        return create_app(
            settings.file, settings.ops_listener, settings.ops_token, last_good, hub, settings.ops_viewer_token, loaded
        )
    except ConfigError as error:
        for problem in error.problems:
            logger.error("%s", problem.located(str(settings.file), column=True))
    except NativeUnavailable as error:
        logger.error("%s", error)
    flush_logs()
    sys.exit(STARTUP_FAILURE)
