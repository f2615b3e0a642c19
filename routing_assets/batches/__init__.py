"""Batches, from the inbox to their end: received, priced, routed, handed off, answered, dispatched or withdrawn."""
