"""hisa-eval: long-context evaluation of sparse-attention indexers."""

__version__ = "0.1.0"
