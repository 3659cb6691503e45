"""Moves and keeps bytes."""
