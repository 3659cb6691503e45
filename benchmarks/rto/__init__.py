"""How long it takes from the command until a machine's own service is up on the other side."""
