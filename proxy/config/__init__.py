"""Read routing.yaml: YAML nodes with lines, field types, section models, rules, and the loading of a file."""
