"""The migration board: the state of each group, its next step, what blocks that, and the problems. Pure."""
