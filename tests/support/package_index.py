"""A small package index over loopback HTTP, with generated wheels and a log of fetched files."""

from __future__ import annotations

import base64
import hashlib
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO


@dataclass(frozen=True)
class Wheel:
    """A release of a package without files; `requires` lists its requirements by extra ("" for none)."""

    name: str
    version: str
    requires: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}-py3-none-any.whl"

    @property
    def content(self) -> bytes:
        """Return the archive (PyPA's binary distribution format), with the same bytes each time."""
        directory = f"{self.name}-{self.version}.dist-info"
        files = {
            f"{self.name}.py": f"VERSION = {self.version!r}\n",
            f"{directory}/METADATA": self._metadata,
            f"{directory}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = [f"{name},sha256={_digest(text)},{len(text)}" for name, text in files.items()]
        files[f"{directory}/RECORD"] = "\n".join([*record, f"{directory}/RECORD,,", ""])
        archive = BytesIO()
        with zipfile.ZipFile(archive, "w") as wheel:
            for name, text in files.items():
                wheel.writestr(zipfile.ZipInfo(name), text)
        return archive.getvalue()

    @property
    def pin(self) -> str:
        """Return its line in a lock file."""
        return f"{self.name}=={self.version} --hash=sha256:{hashlib.sha256(self.content).hexdigest()}\n"

    @property
    def _metadata(self) -> str:
        lines = ["Metadata-Version: 2.1", f"Name: {self.name}", f"Version: {self.version}"]
        for extra, requirements in self.requires.items():
            lines += [f"Provides-Extra: {extra}"] if extra else []
            lines += [f"Requires-Dist: {one}{f'; extra == {extra!r}' if extra else ''}" for one in requirements]
        return "\n".join([*lines, ""])


@dataclass
class Index:
    """The URL of the index, and the files that were fetched from it."""

    url: str
    fetched: set[str] = field(default_factory=set)


@contextmanager
def serving_index(wheels: Sequence[Wheel]) -> Iterator[Index]:
    """Serve `wheels` as a simple repository (PEP 503)."""
    files = {wheel.file: wheel.content for wheel in wheels}
    pages = {
        name: "".join(f'<a href="/files/{wheel.file}">{wheel.file}</a>\n' for wheel in wheels if wheel.name == name)
        for name in {wheel.name for wheel in wheels}
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            last = self.path.rstrip("/").rpartition("/")[2]
            body = files.get(last) if self.path.startswith("/files/") else pages.get(last, "").encode()
            if body and last in files:
                index.fetched.add(last)
            self.send_response(200 if body else 404)
            self.send_header("content-type", "text/html" if last in pages else "application/octet-stream")
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        index = Index(f"http://127.0.0.1:{server.server_port}/simple/")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
