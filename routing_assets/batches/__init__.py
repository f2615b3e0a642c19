"""A batch's life: received, priced, routed, handed off, answered, ended."""
