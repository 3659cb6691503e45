"""What hosts say becomes what a vault knows: who belongs to it, what is wrong, and events."""
