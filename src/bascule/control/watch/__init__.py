"""What hosts say becomes what a vault knows, conditions and events; and hosts hear what changed."""
