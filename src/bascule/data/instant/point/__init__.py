"""A disk at a recovery point, read from the store through a cache."""
