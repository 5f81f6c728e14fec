"""Kinds of written Chinese that are said otherwise, a file a group; `zh/spelling.py` has them in order."""
