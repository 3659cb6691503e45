"""What the benchmark runs in processes of their own, so that each starts cold and is measured alone."""
