"""Reports on compared live traffic, stored in MongoDB: counters, and a few redacted samples.

`events.py` defines the recorded events, `writer.py` stores them, `reader.py` reads them as the values of `models.py`.
"""
