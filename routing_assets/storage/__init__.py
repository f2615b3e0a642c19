"""Where state lies: the warehouse, the Parquet store, and what is in force."""
