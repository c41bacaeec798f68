"""The choice of a driver by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handlers.storage.driver import Driver, DriverName
from handlers.storage.pymongo_driver import PyMongoDriver


def open_driver(name: DriverName, url: str, options: Mapping[str, Any]) -> Driver:
    """Return a driver's client with PyMongo's options, which connects with its first operation."""
    if name == "pymongo":
        return PyMongoDriver(url, options)
    from handlers.storage.motor_driver import MotorDriver  # imports motor

    return MotorDriver(url, options)
