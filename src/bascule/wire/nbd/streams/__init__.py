"""Connections that a dialogue runs over: plain, and encrypted. The latter loads when it is asked for."""
