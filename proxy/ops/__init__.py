"""The listener for people and machines that run the gateway; never reachable through the public one."""
