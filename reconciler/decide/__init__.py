"""Touches nothing: values in, values out. The time is an argument."""
