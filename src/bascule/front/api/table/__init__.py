"""Every operation of the official SDKs, and how this server stands to it."""
