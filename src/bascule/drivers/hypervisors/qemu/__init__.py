"""QEMU by its own monitor protocol, without a daemon in between."""
