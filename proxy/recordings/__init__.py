"""Recordings played against a service, and what it does held against what was recorded: `scribe-proxy verify`."""
