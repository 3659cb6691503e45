"""What a vault may have this side do: verbs of recovery, each by its name."""
