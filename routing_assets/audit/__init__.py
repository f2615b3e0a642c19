"""For auditors: the ledger's hash chain, replays of past decisions, traces of instructions, daily reports."""
