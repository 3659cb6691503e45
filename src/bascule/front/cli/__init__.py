"""The command line: one file per noun. It translates words into calls and answers into lines or JSON."""
