"""The ops listener: pages and JSON for operators. It is never reachable through the public listener."""
