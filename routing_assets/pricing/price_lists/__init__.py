"""Price lists that others publish, read as they are: LiteLLM's map of prices and OpenRouter's list of models."""
