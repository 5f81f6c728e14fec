"""Passes over ONNX graphs: one a file; each returns whether it changed anything."""
