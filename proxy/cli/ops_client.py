"""Client of a gateway's ops listener, for commands that show its state.

It uses the standard library, because importing another HTTP client takes longer than the rest of a command.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode

import click

from proxy.cli.unusable import Unusable
from proxy.runtime.garbage import without_collection

if TYPE_CHECKING:
    from urllib.error import HTTPError

Command = TypeVar("Command", bound=Callable[..., Any])
_View = TypeVar("_View")

_OTHER: Final = "--ops-url or OPS_URL names another address"
TIMEOUT: Final = 5.0
"""Seconds for each step of a request."""

ops_url_option: Callable[[Command], Command] = click.option(
    "--ops-url",
    default="http://127.0.0.1:8001",
    envvar="OPS_URL",
    show_envvar=True,
    show_default=True,
    help="The gateway's ops listener.",
)


@dataclass(frozen=True, slots=True)
class OpsClient:
    """A client of the listener at a URL; `token` is empty if none is sent."""

    base_url: str
    token: str = ""

    def open(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Return the body of a 2xx response. Raises HTTPError for another status, or OSError or ValueError."""
        with without_collection():  # imported late: commands that call no gateway define the option too
            from urllib.request import ProxyHandler, Request, build_opener

        url = self.base_url.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        if not url.startswith(("http://", "https://")):
            raise ValueError("an http or https URL is needed")
        request = Request(url, headers={"accept": "application/json"})  # noqa: S310
        if self.token:
            request.add_header("authorization", f"Bearer {self.token}")
        direct = build_opener(ProxyHandler({}))
        with direct.open(request, timeout=TIMEOUT) as response:
            content: bytes = response.read()
        return content


@dataclass(frozen=True, slots=True)
class OpsResponse:
    """The body of a response."""

    content: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")


@contextmanager
def ops_client(url: str) -> Iterator[OpsClient]:
    """Open a client of the listener, with OPS_TOKEN of the environment or else OPS_VIEWER_TOKEN."""
    yield OpsClient(url, os.environ.get("OPS_TOKEN") or os.environ.get("OPS_VIEWER_TOKEN", ""))


def fetch(client: OpsClient, path: str, query: Mapping[str, str] | None = None) -> OpsResponse:
    """Return the response of a path. Raises `Unusable` without a response or route, otherwise ClickException."""
    with without_collection():
        from urllib.error import HTTPError, URLError

    try:
        return OpsResponse(client.open(quote(path, safe="/?=&"), query))
    except HTTPError as error:
        with error:
            if error.code == 401:
                wrong = "accepts another token than the one in OPS_TOKEN" if client.token else "requires a token"
                raise Unusable(f"{client.base_url} {wrong}: set OPS_TOKEN as the gateway has it") from None
            raise (Unusable if error.code == 404 else click.ClickException)(_reason(client, error)) from None
    except (OSError, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, OSError) else error
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else cause
        raise Unusable(f"{client.base_url} cannot be reached: {reason}; is a gateway running? {_OTHER}") from None


def read(client: OpsClient, answer: OpsResponse, view: type[_View]) -> _View:
    """Return a response as a view. Raises ClickException if it is not from this version."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(view).validate_json(answer.content)
    except ValidationError:
        raise click.ClickException(f"{client.base_url} is not an ops listener of this version") from None


def _reason(client: OpsClient, error: HTTPError) -> str:
    if error.code == 404 and error.headers.get("content-type") == "application/json":
        return str(json.load(error)["detail"])
    if error.code == 404:
        return f"{client.base_url} is not the ops listener of a gateway; {_OTHER}"
    return f"{client.base_url} answered {error.code}"
