"""How fast the gateway is, beside its peers in the same run: ratios, never absolute promises."""
