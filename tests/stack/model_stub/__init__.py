"""A stub of the model's HTTP API for tests and benchmarks: its wire format and its errors, but no model."""
