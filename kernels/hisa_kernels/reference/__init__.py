"""Operators in plain PyTorch, for any device: the definition of right."""
