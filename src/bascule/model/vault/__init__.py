"""What a vault holds, and the rules of it: where items stand, what may be asked of them, how jobs go."""
