"""Request files are sent to their providers, and the answers fetched, each request paid for once."""
