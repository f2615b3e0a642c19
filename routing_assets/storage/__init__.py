"""State on disk: the warehouse, the Parquet store, and which router and prices are in force."""
