"""Request files are sent to providers, and the answers fetched. Off unless the policy has ``submit``."""
