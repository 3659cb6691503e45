"""Jobs: made, run in attempts, cancelled, restarted; design note 0011 says how they survive."""
