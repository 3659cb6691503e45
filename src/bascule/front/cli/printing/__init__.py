"""How commands print: lines and tables for people, JSON for programs, progress, errors."""
