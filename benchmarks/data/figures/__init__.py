"""One file per family of figures; each takes a Bench and prints its own lines."""
