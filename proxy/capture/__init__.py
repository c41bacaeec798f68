"""Anonymised recordings of live traffic.

`jobs.py` stores capture jobs and the captured steps; `agent.py` captures in the shadow process; `anonymizer.py` and
`pseudonyms.py` replace every value.
"""
