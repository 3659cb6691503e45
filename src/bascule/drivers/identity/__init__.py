"""Who may sign in at a server, in one SQLite file that only its owner can read."""
