"""express's HTML pages for unanswered requests and errors (finalhandler 2, `NODE_ENV=production`).

A page states its status only, or the method and path that no route answers.
"""

import re
from typing import Final
from urllib.parse import quote

HEADERS: Final = (
    (b"content-security-policy", b"default-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-type", b"text/html; charset=utf-8"),
)

PHRASES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Payload Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    418: "I'm a Teapot",
    421: "Misdirected Request",
    422: "Unprocessable Entity",
    423: "Locked",
    424: "Failed Dependency",
    425: "Too Early",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    506: "Variant Also Negotiates",
    507: "Insufficient Storage",
    508: "Loop Detected",
    509: "Bandwidth Limit Exceeded",
    510: "Not Extended",
    511: "Network Authentication Required",
}

_PAGE: Final = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Error</title>\n</head>\n'
    "<body>\n<pre>{}</pre>\n</body>\n</html>\n"
)
_HTML: Final = str.maketrans({'"': "&quot;", "&": "&amp;", "'": "&#39;", "<": "&lt;", ">": "&gt;"})
_NEEDS_ENCODING: Final = re.compile(
    r"(?:[^\x21\x23-\x3B\x3D\x3F-\x5F\x61-\x7A\x7C\x7E]|%(?:[^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f]|\Z))+"
)
_URI_SIGNS: Final = ";,/?:@&=+$-_.!~*'()#"


def error_page(status: int) -> bytes:
    """Return the page of an error that no route or middleware handled."""
    return _document(PHRASES.get(status, "undefined"))


def missing_page(method: str, path: str) -> bytes:
    """Return the page of a request that no route answers; the path is encoded as by encodeurl 2."""
    return _document(f"Cannot {method} {encode_url(path)}")


def encode_url(path: str) -> str:
    """Escape characters that are invalid in a URL, as UTF-8, and leave most existing escapes."""
    return _NEEDS_ENCODING.sub(lambda match: quote(match[0], _URI_SIGNS), path)


def _document(message: str) -> bytes:
    text = message.translate(_HTML).replace("\n", "<br>").replace("  ", " &nbsp;")
    return _PAGE.format(text).encode()
