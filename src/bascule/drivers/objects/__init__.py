"""Places that keep objects (local, memory, Azure Blob, S3) and wrappers with the same face."""
