"""The sides of replications, and how they are paired."""
