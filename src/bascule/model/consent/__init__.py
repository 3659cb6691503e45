"""What applications in guests consent to a point by."""
