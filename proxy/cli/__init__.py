"""The commands of `scribe-proxy`, one to a module; `cli.py` gathers them."""
