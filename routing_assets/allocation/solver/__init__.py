"""TODO: solver."""
