"""Nouns: frozen values that every room may hold. Nothing here reads, writes or knows the time."""
