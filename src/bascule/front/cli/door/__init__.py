"""Commands about the vault's door: who may come in, who did, and what they are to do."""
