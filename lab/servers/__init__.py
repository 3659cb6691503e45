"""Servers of ours as processes, for tests and benchmarks."""
