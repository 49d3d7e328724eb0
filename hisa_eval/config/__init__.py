"""Settings of a run: their defaults, the grammar they are written in, and where each value came from."""
