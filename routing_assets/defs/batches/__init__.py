"""From a batch file to its hand-off."""
