"""Conditions on this machine that hold a commit until a person or a change of the machine ends them."""
