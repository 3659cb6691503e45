"""Figures measured beside peers in one run, printed as JSON lines."""
