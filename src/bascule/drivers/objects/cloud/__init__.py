"""What Azure Blob and S3 share: the client's settings, its errors, and the copies it is lent."""
