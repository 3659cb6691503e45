"""A site keeps its machines replicated, with or without anything above it: point after point."""
