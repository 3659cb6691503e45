"""A host and its vault: the host calls, reports what is so, and writes down as wishes what it is told."""
