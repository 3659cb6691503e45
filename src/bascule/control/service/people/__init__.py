"""Who signs in at a server."""
