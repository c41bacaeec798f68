"""Reads routing.yaml: nodes with lines, field types, models, rules, and the loading of a file."""
