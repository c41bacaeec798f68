"""express 5 at its defaults, to the letter: what the resources are written on."""

from handlers.legacy.express.application import (
    Application,
    Faults,
    Handler,
    HttpError,
    Reply,
    Request,
    Router,
    encoded_json,
    json,
    page,
    request_target,
)

__all__ = [
    "Application",
    "Faults",
    "Handler",
    "HttpError",
    "Reply",
    "Request",
    "Router",
    "encoded_json",
    "json",
    "page",
    "request_target",
]
