"""Checkpoints in, bundle out: request, models, graphs, golden values, manifest."""
