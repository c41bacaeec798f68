"""What a service is held to: its OpenAPI contract, read with lines, inferred from recordings, checked against them."""
