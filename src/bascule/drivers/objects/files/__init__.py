"""What the local store is made of: system calls, open handles, folders, claims, and the write itself."""
