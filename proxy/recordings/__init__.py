"""Play recordings against a service, and compare its answers and side effects with them: `scribe-proxy verify`."""
