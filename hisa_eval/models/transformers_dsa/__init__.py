"""Any transformers model with a DSA indexer, with our indexers swapped in through its public seams."""
