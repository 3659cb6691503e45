"""Machines that are replicated, the commands that they are given, and their points."""
