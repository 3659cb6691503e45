"""Keeping a store small and sound: retention, sweep, compaction, verification."""
