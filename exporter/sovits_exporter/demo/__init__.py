"""Checkpoints in official format that are ours: a small trained voice, and made-up weights."""
