"""What becomes of shares by themselves and by hand: stages, caps, who did what and why; shared by all replicas."""
