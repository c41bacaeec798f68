"""The gateway's own listener: uvicorn, with the few things a faithful proxy needs besides."""
