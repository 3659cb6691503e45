"""Hosts and deeds of a vault in one SQLite file."""
