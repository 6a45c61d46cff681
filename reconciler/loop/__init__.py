"""Order and time. Knows only ports; only `wiring` names the concrete adapters."""
