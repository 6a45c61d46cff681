"""Differences between the running and the applied state, and their corrections."""
