"""Order and time. Knows only ports; the concrete adapters are named in `wiring*` alone."""
