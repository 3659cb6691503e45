"""Sites, hosts, the machines that could be protected, and how sides are paired."""
