"""Whether native does worse than legacy: what is seen of both, for a while, and what may be concluded from it."""
