"""What we ask of the world: protocols and their prose. No code that does anything."""
