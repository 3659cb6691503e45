"""``bascule serve`` and ``bascule vault``: a server of vaults on this machine, and its owner's commands."""
