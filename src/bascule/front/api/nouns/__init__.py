"""What each operation does, one file a noun."""
