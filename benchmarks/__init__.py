"""Benchmarks: our figures against those of Compose, on the same machine."""
