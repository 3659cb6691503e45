"""What a server of vaults costs: asked by many at once, by many hosts, and item by item."""
