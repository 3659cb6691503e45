"""The provider of a host: many machines kept replicated by what a folder says of each."""
