"""Data that decides precision: corpora, collected ranges, choices."""
