"""A host of libvirt: its domains defined, started and ended."""
