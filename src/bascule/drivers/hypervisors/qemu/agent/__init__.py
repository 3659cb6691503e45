"""QEMU's guest agent: its protocol, the watch that thaws, and who gives it orders."""
