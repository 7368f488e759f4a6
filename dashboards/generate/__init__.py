"""Writes the dashboards: `python -m generate` from the directory above, `--check` to compare only."""
