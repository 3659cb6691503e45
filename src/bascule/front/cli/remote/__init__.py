"""Servers from afar: which there are, whom to trust there, who we are, and what is asked over HTTPS."""
