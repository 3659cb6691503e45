"""The store's format: names, seals, containers, runs, layers, log entries. docs/formats/store.md draws it."""
