"""`/api/v1`: the API for new clients, in FastAPI, on the services that the legacy dialect uses too.

This package and the legacy dialect, which will be removed one day, are independent of each other.
"""
