"""Machines that change sides: over, home, and for good."""
