"""What a host and the vault say to each other: small documents, read strictly.

See docs/formats/control.md.
"""
