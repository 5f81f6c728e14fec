"""Samples to bytes of a format, and the cache of lines."""
