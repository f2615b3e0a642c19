"""Graders: whether an answer is right. One file each, listed in ``table.py``."""
