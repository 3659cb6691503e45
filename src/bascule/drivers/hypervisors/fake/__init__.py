"""A hypervisor in memory, for simulations, demonstrations and tests that need hundreds of machines."""
