"""`/api/v1`: the API for clients written from now on, in FastAPI, on the services that the legacy's dialect uses too.

Nothing here knows the legacy's dialect, which will go one day, nor the other way round.
"""
