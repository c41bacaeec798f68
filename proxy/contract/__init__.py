"""OpenAPI contracts: read with line numbers, and checked against answers."""
