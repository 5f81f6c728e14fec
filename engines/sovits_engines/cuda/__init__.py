"""The CUDA driver, the GPUs it shows, and which libraries fit them."""
