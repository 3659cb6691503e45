"""The vault's door for hosts: they come, nobody goes to them."""
