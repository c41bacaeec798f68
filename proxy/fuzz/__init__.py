"""Differential fuzzing: random sequences of requests put to two backends, and what differs shrunk to recordings.

`sources.py` draws requests from a contract (Schemathesis), from a dictionary learnt from recordings and from a plug-in;
`differential.py` puts one sequence to both backends, and the comparison engine judges it as `scribe-proxy verify` does;
`search.py` runs rounds of sequences, shrinks what differs and groups it by kind. `state_machine.py` follows the
contract's links. Needs the extra `fuzz` (Schemathesis and Hypothesis).
"""
