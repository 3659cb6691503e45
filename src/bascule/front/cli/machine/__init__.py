"""``bascule machine``: the machines of a host."""
