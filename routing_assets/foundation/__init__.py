"""What every package uses: paths, errors, names, files, locks."""
