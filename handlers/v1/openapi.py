"""The OpenAPI of an app as bytes that are written once. FastAPI would encode it for each request."""

import asyncio
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class WrittenOpenAPI:
    """The OpenAPI document of an app, written at its first use, in a thread because it takes long."""

    def __init__(self, app: FastAPI) -> None:
        self._app: Final = app
        self._writing: asyncio.Future[bytes] | None = None

    def write(self) -> asyncio.Future[bytes]:
        """Return the future of the document; concurrent callers share it."""
        if self._writing is None:
            self._writing = asyncio.ensure_future(asyncio.to_thread(self._encode))
        return self._writing

    async def show(self, _: Request) -> Response:
        """Answer with the document."""
        return Response(await asyncio.shield(self.write()), media_type="application/json")

    def _encode(self) -> bytes:
        return bytes(JSONResponse(self._app.openapi()).body)
