"""What of a file or an image is not there, and reads as zeroes."""
