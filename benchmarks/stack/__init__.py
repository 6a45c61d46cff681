"""The Blackbox stack under load: what it takes, how fast it is, and what it does when something breaks."""
