"""The gateway's own MongoDB database and its drivers."""
