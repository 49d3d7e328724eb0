"""RULER: thirteen synthetic tasks on long contexts, made at exact lengths with RULER's templates."""

from hisa_tasks.ruler.catalog import GROUPS, TASKS, describe, expand, lacking_data
from hisa_tasks.ruler.scoring import score, score_answer
from hisa_tasks.ruler.task import RulerTask

__all__ = ["GROUPS", "TASKS", "RulerTask", "describe", "expand", "lacking_data", "score", "score_answer"]
