"""A recovery point served as a disk at once: read through a cache, written to an overlay, hydrated."""
