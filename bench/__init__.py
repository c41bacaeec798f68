"""Measure the gateway beside its peers in the same run, as ratios."""
