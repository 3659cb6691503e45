"""What a vault has on its sides: sites, hosts, policies."""
