"""Route batches of instructions to LLMs under a hard budget, as audited Dagster assets."""
