"""routing.yaml: what ops touch. Text with lines (`document`), units, models, rules, and how to load them."""

from proxy.config.loading import MAX_BYTES, decode, load, parse, read
from proxy.config.models import (
    Bucketing,
    Config,
    File,
    Gates,
    Guard,
    KeySource,
    Legacy,
    Limits,
    Overrides,
    Route,
    RouteTimeouts,
    Schedule,
    Shadow,
    Side,
    Timeouts,
)
from proxy.config.problems import ConfigError, Problem
from proxy.config.surroundings import Breaker, Docs, Health, Mongo, Notify, Reports, Server, Shadowing
from proxy.config.units import FULL, show_duration, show_share

__all__ = [
    "FULL",
    "MAX_BYTES",
    "Breaker",
    "Bucketing",
    "Config",
    "ConfigError",
    "Docs",
    "File",
    "Gates",
    "Guard",
    "Health",
    "KeySource",
    "Legacy",
    "Limits",
    "Mongo",
    "Notify",
    "Overrides",
    "Problem",
    "Reports",
    "Route",
    "RouteTimeouts",
    "Schedule",
    "Server",
    "Shadow",
    "Shadowing",
    "Side",
    "Timeouts",
    "decode",
    "load",
    "parse",
    "read",
    "show_duration",
    "show_share",
]
