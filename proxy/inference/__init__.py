"""Contracts and recordings together: infer a contract from recordings, and check one against them."""
