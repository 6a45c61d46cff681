"""Nouns: frozen values that every room may use. Nothing here reads, writes or knows the time."""
