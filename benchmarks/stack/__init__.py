"""The Blackbox stack under load: its memory, its speed, and whether it grows."""
