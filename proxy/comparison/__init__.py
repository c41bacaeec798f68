"""Compare two exchanges under a contract: the differences, their severity, and whether they are declared. Pure.

`exchanges.py` returns the verdict; `headers.py`, `bodies.py` and `values.py` (with `fields.py`, `arrays.py` and
`columns.py`) find differences; `verdicts.py` has the result types.
"""
