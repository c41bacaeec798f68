"""A contract whose values are redacted, except those with `x-report: show`."""

from __future__ import annotations

from proxy.types import JSON
from tests.support.exchanges import operation, properties

KEY = b"sixteen bytes or more"
SHOWN: JSON = {"enum": ["active", "ended", "in plain sight", "x" * 999], "x-report": "show"}
NOTE = properties(_id={"type": "string"}, body={"type": "string"}, status=SHOWN)
CONTRACT = operation(
    properties(notes={"type": "array", "items": NOTE}, count={"type": "integer"}, msg=SHOWN),
    200,
    404,
    requests={"application/json": properties(body=SHOWN)},
)
PATIENT = "Agnes Nightingale, 943 476 5919"
