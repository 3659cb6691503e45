"""The API beside a bare handler that has the same bytes in memory, and how fast a command starts."""
