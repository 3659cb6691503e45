"""Machines of a libvirt daemon: replicated by its checkpoints and backups, defined and run by its domains."""
