"""Certificates for tests, made by openssl: an authority, and what it signs."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import HANG_TIMEOUT

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")


class Authority:
    """A certificate authority in a directory; `ca` is its own certificate."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self.ca, self._key = directory / f"{name}.pem", directory / f"{name}.key"
        self._run("req", "-x509", *self._new_key(self._key), "-subj", f"/CN={name}", "-days", "2", "-out", self.ca)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return a certificate for a DNS name, and its key."""
        certificate, key, request = (self._directory / f"{name}.{kind}" for kind in ("crt", "key", "csr"))
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName=DNS:{name}\n")
        self._run("req", *self._new_key(key), "-subj", f"/CN={name}", "-out", request)
        signed_by = ("-CA", self.ca, "-CAkey", self._key, "-CAcreateserial")
        self._run("x509", "-req", "-in", request, *signed_by, "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key

    def server_context(self, name: str, *, demand_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name))
        if demand_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def _new_key(self, key: Path) -> tuple[str | Path, ...]:
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key)

    def _run(self, *arguments: str | Path) -> None:
        assert OPENSSL is not None
        subprocess.run([OPENSSL, *arguments], check=True, capture_output=True, timeout=HANG_TIMEOUT)
