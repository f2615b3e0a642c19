"""Answers of LLM providers: their batch output files read, matched with models, and priced."""
