"""An open WebSocket, whichever side it is on: both legs of the gateway are made of the same pieces."""
