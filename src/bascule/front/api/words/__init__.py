"""What Azure Site Recovery calls what we have: states, scenarios, tasks, health. Nowhere else."""
