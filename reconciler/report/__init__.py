"""Outcomes told where a change was made: what each channel should say, what was delivered, and the way there."""
