"""Random requests to the legacy stand-in and to the native app, on two databases, answers and documents compared.

Each sequence is put to the stand-in first, which makes a recording of it; the recording is then played to the
native app by the same player and comparer that `scribe-proxy verify` uses. So a counterexample is a recording.
"""
