"""The commands of `scribe-proxy`, one in each module; `main.py` lists them."""
