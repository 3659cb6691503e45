"""What this machine asks of a running server of vaults: how it is, its figures, and its owner's calls."""
