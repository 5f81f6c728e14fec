"""Torch-free inference for exported GPT-SoVITS bundles."""
