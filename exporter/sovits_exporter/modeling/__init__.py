"""Export-ready PyTorch modules, named like the parts of the original."""
