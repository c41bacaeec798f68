"""An annotation of field types whose values a function parses and validates completely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core.core_schema import CoreSchema, no_info_plain_validator_function


@dataclass(frozen=True, slots=True)
class ParsedBy:
    """Parse values with `func`, which returns the annotated type, or raises ValueError.

    Unlike `BeforeValidator`, pydantic builds no second validator for the annotated type, which would take most of the
    time of a small command.
    """

    func: Callable[[object], object]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema that calls `func` alone."""
        return no_info_plain_validator_function(self.func)
