"""The original's way of running: eager PyTorch, timed as the baseline."""
