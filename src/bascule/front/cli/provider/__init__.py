"""Commands about machines that are kept replicated: what somebody wants of them, and what is so."""
