"""Official files read safely: tensors, configuration, version."""
