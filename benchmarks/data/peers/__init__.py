"""One file per peer; each keeps the promises of ``Runner``."""
