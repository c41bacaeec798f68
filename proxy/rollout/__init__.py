"""Rollouts: the share of each route in force, its stages and caps, and their history, shared by all replicas."""
