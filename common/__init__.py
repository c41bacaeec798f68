"""Mechanisms that the proxy and the native app both use; imports neither of them."""
