"""The command line: prints, and starts runs."""

from routing_assets.cli.main import main

__all__ = ["main"]
