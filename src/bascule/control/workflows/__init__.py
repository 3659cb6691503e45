"""What each command does: one verb, one file, each read from top to bottom as an operator would do it."""
