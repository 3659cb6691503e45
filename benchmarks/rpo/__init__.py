"""What a power cut costs a replicated machine, and what being replicated costs its writes."""
