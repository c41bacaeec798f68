"""What comparisons of live traffic have shown, kept in MongoDB: counters, and a few redacted samples.

`entries.py` is what is noted, `reports.py` keeps it, `reading.py` answers it as the values of `views.py`.
"""
