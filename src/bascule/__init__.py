"""Bascule: site recovery on your own machines."""
