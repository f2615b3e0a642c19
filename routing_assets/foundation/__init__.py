"""What every room uses: paths, errors, names, files, locks."""
