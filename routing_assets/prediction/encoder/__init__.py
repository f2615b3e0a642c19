"""Texts as vectors: the sentence encoder, and what it reads of a text."""
