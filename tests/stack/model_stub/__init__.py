"""The model's HTTP API as clients see it: its wire format, its errors, and no model. For tests and benchmarks."""
