"""What goes on in a vault and what went on: jobs, events, the record."""
