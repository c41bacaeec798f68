"""express 5 with its default settings, reproduced exactly: the framework of the legacy dialect."""

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
    json_in_slices,
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
    "json_in_slices",
    "page",
    "request_target",
]
