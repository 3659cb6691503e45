"""Certificates of a vault's own authority, with elliptic curve keys (P-256)."""
