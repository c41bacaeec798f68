"""Two exchanges and a contract, held together: what differs, how, and whether that was meant. Pure.

`exchanges.py` gives the verdict; `headers.py`, `bodies.py` and `values.py` (with `arrays.py`) find what differs;
`verdicts.py` has the words for it, and what must be known of an operation.
"""
