"""Replicated or not, from which side, and to become what."""
