"""Needle in a haystack: a fact hidden in a long text, and a question about it."""

from hisa_tasks.niah.scoring import score
from hisa_tasks.niah.task import NiahTask

__all__ = ["NiahTask", "score"]
