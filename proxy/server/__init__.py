"""The gateway's own listener: uvicorn's server with an HTTP/1.1 protocol that behaves as Node's does."""
