"""``bascule replica``: machines over to this host and back, without anything above the two hosts."""
