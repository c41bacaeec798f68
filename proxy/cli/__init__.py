"""The commands of `scribe-proxy`, one to a module; `main.py` lists them."""
