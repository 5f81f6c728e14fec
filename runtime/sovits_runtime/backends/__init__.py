"""Session implementations, one module a backend."""
