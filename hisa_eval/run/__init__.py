"""A run: its grid of cells, its samples, and the folder where they are kept."""
