"""Protected machines, what is asked of them, and their points."""
