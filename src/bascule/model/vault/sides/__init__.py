"""How sides are paired: containers of machines, groups that protect them, and where all of it leads."""
