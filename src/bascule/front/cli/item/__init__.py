"""Protected items: what they are, what is asked of them, their points."""
