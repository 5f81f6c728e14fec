"""Finds the first layer of a graph that a GPU, or FP16, gets wrong, and which parts to keep in FP32 for it.

`find.py` is where to start reading: it runs one graph on two sides (`sides.py`, `engine_side.py`) and compares them
layer by layer (`layers.py`). `search.py` tries what to keep in FP32, `page.py` draws what was found.
"""
