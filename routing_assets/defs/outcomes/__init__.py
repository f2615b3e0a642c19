"""What came of routed batches, and whether the router still holds."""
