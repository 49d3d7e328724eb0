"""Figures from stored results, drawn without a display and the same to the byte at every rebuild."""
