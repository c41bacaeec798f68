"""The migration board: the state of each group, what is next, what blocks it, and the problems. Pure."""
