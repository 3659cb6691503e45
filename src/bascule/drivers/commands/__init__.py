"""Commands of the operator, run on this host."""
