"""Differential fuzzing: send random sequences of requests to two backends and shrink differences to recordings.

`sources.py` draws requests from a contract (Schemathesis), from a dictionary learned from recordings and from a
plug-in; `differential.py` sends one sequence to both backends and compares them with the engine of `scribe-proxy
verify`; `search.py` runs rounds of sequences, shrinks differences and groups them by kind. `state_machine.py` follows
the contract's links. Needs the extra `fuzz` (Schemathesis and Hypothesis).
"""
