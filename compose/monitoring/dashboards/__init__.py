"""Grafana's dashboards, described in Python. `python -m dashboards` in compose/monitoring writes them."""
