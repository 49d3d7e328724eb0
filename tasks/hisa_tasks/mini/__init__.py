"""`mini`: a small generated suite in LongBench's schema and categories. It is not LongBench."""

from hisa_tasks.longbench.scoring import score
from hisa_tasks.mini.task import MiniTask

__all__ = ["MiniTask", "score"]
