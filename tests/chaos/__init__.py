"""Attacks on the real parts, each measured against its bounds: `python -m tests.chaos`."""
