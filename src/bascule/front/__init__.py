"""Where people and agents come in."""
