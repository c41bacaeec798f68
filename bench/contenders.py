"""The servers that a bench compares: each is a process on a free port, and all are stopped at the end."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from demo.managed_process import ManagedProcess
from demo.ports import free_port, is_free

PEERS = Path(__file__).parent / "peers"


class ServerGroup:
    """Starts servers and stops them at the end; `directory` is the directory of their files and logs."""

    def __init__(self, directory: Path, *, own_sessions: bool = True) -> None:
        self.directory = directory
        self._own_sessions = own_sessions
        self._children: list[ManagedProcess] = []

    def start(
        self, name: str, command: list[str | Path], port: int, env: Mapping[str, str] | None = None
    ) -> ManagedProcess:
        log = self.directory / f"{name}-{port}.log"
        child = ManagedProcess(name, command, log=log, env=env, own_session=self._own_sessions)
        child.start()
        self._children.append(child)
        deadline = time.monotonic() + 60
        while is_free(port):
            child.check()
            if time.monotonic() > deadline:
                raise SystemExit(f"{name} does not listen on port {port}: {child.last_output()}")
            time.sleep(0.02)
        return child

    def stop(self) -> None:
        while self._children:
            self._children.pop().stop()

    def upstream(self) -> int:
        """Start a bare Node server and return its port."""
        port = free_port()
        self.start("upstream", ["node", PEERS / "upstream.js", str(port)], port)
        return port

    def middleware(self, upstream: int) -> int:
        """Start Node's http-proxy-middleware in front of the upstream and return its port."""
        if not (PEERS / "node_modules").is_dir():
            raise SystemExit("the peers are missing: make bench installs them")
        port = free_port()
        self.start(
            "middleware",
            ["node", PEERS / "middleware.js", str(port), f"http://127.0.0.1:{upstream}"],
            port,
            {"NODE_ENV": "production"},
        )
        return port

    def uvicorn(self) -> int:
        """Start uvicorn with an app that answers itself, without an access log, and return its port."""
        port = free_port()
        command: list[str | Path] = [sys.executable, "-m", "uvicorn", "bench.bare:app", "--port", str(port)]
        self.start("uvicorn", [*command, "--no-access-log", "--lifespan", "off"], port)
        return port

    def nginx(self, upstream: int) -> int:
        """Start nginx with one worker, as the gateway has one process."""
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        if not Path(program).exists():
            raise SystemExit("nginx is needed: apt-get install nginx")
        port = free_port()
        directory = self.directory / "nginx"
        (directory / "logs").mkdir(parents=True)
        (directory / "nginx.conf").write_text(NGINX.format(directory=directory, port=port, upstream=upstream))
        self.start("nginx", [program, "-p", directory, "-c", directory / "nginx.conf"], port)
        return port

    def gateway(
        self, config: str, env: Mapping[str, str] | None = None, *, name: str = "gateway", options: Sequence[str] = ()
    ) -> tuple[int, ManagedProcess]:
        """Start the gateway, by default in one process, with its access log in a file; return its port and process."""
        port = free_port()
        file = self.directory / f"{name}-{port}.yaml"
        file.write_text(config)
        return port, self.serve(file, port, free_port(), env, options)

    def serve(
        self, file: Path, port: int, ops: int, env: Mapping[str, str] | None = None, options: Sequence[str] = ()
    ) -> ManagedProcess:
        """Start the gateway from a routing file, with its access log in another file."""
        program = Path(sys.executable).with_name("scribe-proxy")
        command: list[str | Path] = [program, "serve", "--config", file, "--port", str(port), "--ops-port", str(ops)]
        command += options
        return self.start(file.stem, command, ops, env)  # the ops listener opens last

    def end(self, child: ManagedProcess) -> None:
        """Stop one server before the others."""
        self._children.remove(child)
        child.stop()


NGINX = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/logs/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {directory}/logs/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    upstream node {{ server 127.0.0.1:{upstream}; keepalive 128; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://node;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_request_buffering off;
        }}
    }}
}}
"""


@contextlib.contextmanager
def server_group(*, own_sessions: bool = True) -> Iterator[ServerGroup]:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        contenders = ServerGroup(Path(directory), own_sessions=own_sessions)
        try:
            yield contenders
        finally:
            contenders.stop()


def routing(legacy: int, routes: int, native: str | None = None, share: str = "0%") -> str:
    """Return a routing.yaml with this many routes, of which only the last ones match, so that all are tried."""
    lines = ["legacy:", f"  url: http://127.0.0.1:{legacy}"]
    lines += [f"native: {native}"] if native else []
    lines.append("routes:")
    for number in range(routes - 2):
        lines += [f"  - name: resource{number}.get", f"    match: GET /api/resource{number}/{{id}}/part"]
        lines += ["    native: 25%"] if native else []
    for name, match in (("root", "* /"), ("everything", "* /*")):
        lines += [f"  - name: {name}", f"    match: '{match}'"]
        lines += [f"    native: {share}"] if native else []
    return "\n".join(lines) + "\n"
