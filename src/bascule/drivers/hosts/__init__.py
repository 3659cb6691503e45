"""Hosts, deeds and principals of a server, in one SQLite file or a PostgreSQL that several share."""
