"""Vaults in SQLite or PostgreSQL: ports.catalog through SQLAlchemy."""
