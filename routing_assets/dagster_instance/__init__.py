"""What concerns Dagster's own instance: its storage, its runs, its partitions."""
