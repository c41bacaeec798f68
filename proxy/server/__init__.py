"""The gateway's listener: uvicorn's server with an HTTP/1.1 protocol that behaves like Node's."""
