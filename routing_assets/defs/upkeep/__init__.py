"""Upkeep that runs without being asked for: reports, retention, failures."""
