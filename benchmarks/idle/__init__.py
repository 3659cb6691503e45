"""What a provider costs while the machines of its host write nothing."""
