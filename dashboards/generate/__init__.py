"""Writes the dashboards: run `python -m generate` in the parent directory, `--check` only compares."""
