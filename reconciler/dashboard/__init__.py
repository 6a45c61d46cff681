"""The terminal program of `dashboard`: what the monitor's thread collects, on one screen."""
