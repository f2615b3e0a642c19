"""For auditors: the chain of the ledger, replays of past decisions, the report of a day."""
