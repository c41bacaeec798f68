"""`${NAME}` and `${NAME:-default}` in the values of routing.yaml.

References are replaced after the YAML is parsed, so that the value of an environment variable never becomes structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_TOKEN: Final = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{")
_REFERENCE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.ASCII | re.DOTALL)


class SubstitutionError(ValueError):
    """Raised for a malformed reference, or one to a variable that is not set."""


class UnsetVariableError(SubstitutionError):
    """Raised for a reference without a default to a variable that is not set."""


def references(text: str) -> bool:
    """Return True if a part of the text comes from the environment."""
    return any(token[0] != "$$" for token in _TOKEN.finditer(text))


def substitute(text: str, env: Mapping[str, str]) -> str:
    """Replace the references; `$$` becomes `$`, and a single `$` stays. Raises SubstitutionError.

    As in a shell, `:-` also applies its default if the variable is set but empty.
    """
    return _TOKEN.sub(lambda token: _value(token, env), text)


def _value(token: re.Match[str], env: Mapping[str, str]) -> str:
    if token[0] == "$$":
        return "$"
    reference = _REFERENCE.fullmatch(token[1] or "")
    if reference is None:
        raise SubstitutionError(f"{token[0]} is not a reference: write ${{NAME}} or ${{NAME:-default}}, or $$ for $")
    name, default = reference.groups()
    value = env.get(name)
    if default is not None:
        return value or default
    if value is None:
        raise UnsetVariableError(f"the environment variable {name} is not set (${{{name}:-…}} gives a default)")
    return value
