"""Annotations of fields for which pydantic builds no validator of the annotated type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core.core_schema import CoreSchema, no_info_plain_validator_function


class ParsedBy:
    """Parse values with `func`, which returns the annotated type, or raises ValueError.

    Unlike `BeforeValidator`, pydantic builds no second validator for the annotated type, which would take most of the
    time of a small command.
    """

    def __init__(self, func: Callable[[object], object]) -> None:
        self.func = func

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema that calls `func` alone."""
        return no_info_plain_validator_function(self.func)


class BuiltWhenUsed:
    """Build the validator of the annotated section for its first value, because most files do not have the section.

    Errors have the same locations. The validation context is not passed on.
    """

    def __get_pydantic_core_schema__(self, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema that validates with the section's own validator."""
        return no_info_plain_validator_function(source.model_validate)
