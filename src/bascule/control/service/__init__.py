"""What may be asked of a server of vaults, by an API, a portal or a command line."""
