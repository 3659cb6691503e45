"""What a person may type: options that commands share, names of points, keys, bytes and times."""
