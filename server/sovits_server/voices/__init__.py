"""Voices as profiles: bundle, references, options."""
