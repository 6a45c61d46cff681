"""The host's sync, health, and the one reason."""
