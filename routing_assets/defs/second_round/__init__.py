"""The second round of a batch: first answers are kept, or another model is asked."""
