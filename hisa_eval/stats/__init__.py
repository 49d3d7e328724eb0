"""Intervals and comparisons, on scipy; no other part of the harness computes one."""
