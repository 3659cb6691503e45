"""The vault decides: jobs that survive, and what each command does."""
