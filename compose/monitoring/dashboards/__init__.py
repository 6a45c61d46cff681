"""Grafana's dashboards, described in Python. `cd compose/monitoring && python -m dashboards` writes their JSON."""
