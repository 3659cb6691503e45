"""A site takes machines over and gives them back: verbs, step by step, each of which may be done again."""
