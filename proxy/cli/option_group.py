"""Combine several options of a command into one argument of its function."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]


def option_group(argument: str, build: Callable[..., object], *options: Decorator) -> Decorator:
    """Return a decorator that adds click options and passes `build` of their values as `argument`.

    `build` has a parameter with the name of each option. Its `click.UsageError` is reported as the command's.
    """
    names = _names(options)

    def decorate(command: Function) -> Function:
        def with_group(*positional: Any, **values: Any) -> Any:
            group = build(**{name: values.pop(name) for name in names})
            return command(*positional, **{argument: group}, **values)

        decorated: Function = update_wrapper(with_group, command)
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def _names(options: tuple[Decorator, ...]) -> list[str]:
    """Return the parameter names of click options."""

    def command() -> None: ...

    for option in options:
        option(command)
    return [parameter.name for parameter in command.__click_params__]  # type: ignore[attr-defined]
