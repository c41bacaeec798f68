"""The native backend: an ASGI app, loaded by its import string, whose lifespan this module runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.importer import ImportFromStringError, import_from_string
from uvicorn.lifespan.on import LifespanOn

from proxy.backends.legacy.headers import dropped_names
from proxy.types import HeaderFields, RawHeaders

_SEARCHED: Final = "the directory of --app-dir (by default the current one) or the installed packages"


class NativeUnavailable(RuntimeError):
    """Raised if the native app cannot be imported or fails to start. The message gives the reason."""


def import_app(import_string: str) -> ASGIApp:
    """Return the app at `package.module:attribute`. Raises `NativeUnavailable`, whatever its module raises."""
    try:
        app: ASGIApp = import_from_string(import_string)
    except ImportFromStringError as error:
        find_app(import_string)
        raise NativeUnavailable(f"native app {import_string}: {error}") from error
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and _is_parent(error.name, import_string):
            find_app(import_string)
        raise NativeUnavailable(f"native app {import_string}: {type(error).__name__}: {error}") from error
    return app


def _is_parent(module: str | None, import_string: str) -> bool:
    """Return whether a module is a parent package of the app's module."""
    return module is not None and import_string.startswith(f"{module}.")


def find_app(import_string: str) -> None:
    """Check that the module of `package.module:attribute` exists, without running it. Raises `NativeUnavailable`."""
    module = import_string.partition(":")[0]
    try:
        exists = importlib.util.find_spec(module) is not None
    except ImportError:  # raised by the import of a parent package
        exists = False
    except Exception as error:
        raise NativeUnavailable(f"native app {import_string}: {type(error).__name__}: {error}") from error
    if not exists:
        raise NativeUnavailable(f"native app {import_string}: there is no module {module} in {_SEARCHED}")


def _end_to_end(headers: HeaderFields) -> RawHeaders:
    """Return the headers that native receives: those that legacy does, and `Transfer-Encoding`, which shows a body."""
    dropped = dropped_names(headers) - _FRAMING
    return [header for header in headers if header[0] not in dropped]


_FRAMING: Final = frozenset((b"transfer-encoding",))


def _with_reasons(app: ASGIApp, reasons: list[str]) -> ASGIApp:
    """Return the app of a lifespan, which adds the exception that ends it to `reasons`, in one line."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            reasons.append(" ".join(f"{type(error).__name__}: {error}".split()))
            raise

    return run


class Native:
    """Passes `http` and `websocket` scopes to the app at `import_string`, with its lifespan state."""

    def __init__(self, import_string: str, state: Mapping[str, Any] = MappingProxyType({})) -> None:
        """`state` is the lifespan state with which the app starts. `failure` is the reason of a failed start-up."""
        self.import_string = import_string
        self.started = False
        self.failure = ""
        self._app: ASGIApp | None = None
        self._state = dict(state)
        self._lifespan: LifespanOn | None = None

    @property
    def state(self) -> Mapping[str, Any]:
        """The lifespan state of the app; before it has started, the one it starts with."""
        return self._state

    def load(self) -> None:
        """Import the app, unless it is imported already. Raises `NativeUnavailable`."""
        self._app = self._app or import_app(self.import_string)

    async def start(self) -> None:
        """Import the app and run its start-up. Raises `NativeUnavailable`."""
        self.load()
        config = uvicorn.Config(self.import_string, lifespan="auto", log_config=None)
        config.load()
        reasons: list[str] = []
        config.loaded_app = _with_reasons(config.loaded_app, reasons)
        self._lifespan = LifespanOn(config)
        self._lifespan.state.update(self._state)
        await self._lifespan.startup()
        if self._lifespan.should_exit:
            reason = reasons[-1] if reasons else "see the log above"
            self.failure = f"native app {self.import_string}: its start-up failed: {reason}"
            raise NativeUnavailable(self.failure)
        self._state = self._lifespan.state
        self.started = True

    async def stop(self) -> None:
        if self._lifespan is not None and self.started:
            self.started = False
            await self._lifespan.shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None, "start() comes first"
        if self._state:
            scope["state"] = self._state.copy()
        scope["headers"] = _end_to_end(scope["headers"])
        await self._app(scope, receive, send)
