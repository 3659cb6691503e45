"""Arithmetic on bytes: extents, bitmaps, cuts. Standard library, Python 3.9: the guest agent shares it."""
