"""A host of QEMU machines without a daemon: a folder says what there is, the kernel says what runs."""
