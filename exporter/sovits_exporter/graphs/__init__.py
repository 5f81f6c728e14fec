"""Which graphs a version needs, and how each is exported from its PyTorch module."""
