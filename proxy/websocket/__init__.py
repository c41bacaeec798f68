"""WebSocket connections after their handshake: relayed to legacy as bytes, or read as messages for an ASGI app."""
