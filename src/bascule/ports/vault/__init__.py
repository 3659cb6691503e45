"""What a vault asks of the world: its hosts, its certificates, its record of deeds."""
