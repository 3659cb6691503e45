"""A server of vaults: ``bascule serve``."""
