"""The two ends that a vault commands: ports.sites."""
