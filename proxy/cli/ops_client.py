"""Client of a gateway's ops listener, for commands that show what it knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import httpx
from pydantic import TypeAdapter, ValidationError

Command = TypeVar("Command", bound=Callable[..., Any])
_View = TypeVar("_View")

ops_url_option: Callable[[Command], Command] = click.option(
    "--ops-url",
    default="http://127.0.0.1:8001",
    envvar="OPS_URL",
    show_envvar=True,
    show_default=True,
    help="The gateway's ops listener.",
)


@contextmanager
def ops_client(url: str) -> Iterator[httpx.Client]:
    """Open a client of the listener, with OPS_TOKEN of the environment, else OPS_VIEWER_TOKEN."""
    token = os.environ.get("OPS_TOKEN") or os.environ.get("OPS_VIEWER_TOKEN", "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=url, headers=headers, timeout=5.0, trust_env=False) as client:
        yield client


def fetch(client: httpx.Client, path: str, query: Mapping[str, str] | None = None) -> httpx.Response:
    """Return the response of a path. Raises ClickException where there is none, or an error."""
    try:
        answer = client.get(path, params=query)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"{client.base_url} cannot be reached: {error}") from None
    if answer.status_code == 401:
        raise click.ClickException(f"{client.base_url} requires a token: set OPS_TOKEN")
    if answer.status_code == 404 and answer.headers.get("content-type") == "application/json":
        raise click.ClickException(answer.json()["detail"])
    if not answer.is_success:
        raise click.ClickException(f"{client.base_url} answered {answer.status_code}")
    return answer


def read(client: httpx.Client, answer: httpx.Response, view: type[_View]) -> _View:
    """Return a response as a view. Raises ClickException where it is none of this version."""
    try:
        return TypeAdapter(view).validate_json(answer.content)
    except ValidationError:
        raise click.ClickException(f"{client.base_url} is not an ops listener of this version") from None
