"""Dagster's instance: its storage, its runs and its partitions."""
