"""Outcomes of routed batches, and whether the router's predictions still hold."""
