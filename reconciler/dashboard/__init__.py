"""The terminal program of `dashboard`: shows the snapshots that the monitor's collector makes."""
