"""Disks to read from and to write to: raw files and devices, NBD exports, images through qemu-nbd."""
