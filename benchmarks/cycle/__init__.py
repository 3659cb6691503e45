"""The cycles of a replicated machine: how long from an instant to its durable point."""
