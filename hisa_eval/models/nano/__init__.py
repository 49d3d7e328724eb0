"""The embedded nano model: a byte-level DeepSeek-V3.2 small enough to ship, with a really trained indexer."""
