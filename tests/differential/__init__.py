"""Random requests to the demo legacy and to the native app, on two databases; answers and documents are compared.

Each sequence is sent to the legacy first and recorded. The player and comparer of `scribe-proxy verify` then play the
recording on the native app, so a counterexample is a recording.
"""
