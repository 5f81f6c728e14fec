"""Pretrained models and data of text front ends by name: found on this machine, or fetched from a hub and verified."""
