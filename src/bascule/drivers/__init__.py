"""Keeps the promises of ports; the only home of vendors' libraries."""
