"""OpenAPI contracts: read with line numbers, inferred from recordings, checked against answers."""
