"""Models that can be asked: each answers a `Sample` with an indexer inside."""
