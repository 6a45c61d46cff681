"""How the host stands: sync, health, and the one reason."""
