"""Recordings of live traffic in which nobody can be recognised, made where the shadow process sees both sides.

`orders.py` says what is wanted, for how long, and keeps what was captured until it is fetched; `capturing.py` runs in
the shadow process; `stand_ins.py` and `pseudonyms.py` put harmless values in the place of all that is said.
"""
