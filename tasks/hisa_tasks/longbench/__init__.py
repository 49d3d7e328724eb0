"""LongBench v1, LongBench-E and v2: official rows, prompts and scores."""

from hisa_tasks.longbench.fitting import PromptTooLongError
from hisa_tasks.longbench.scoring import score, score_answer
from hisa_tasks.longbench.task import LongBenchTask
from hisa_tasks.longbench.v2 import LongBenchV2Task

__all__ = ["LongBenchTask", "LongBenchV2Task", "PromptTooLongError", "score", "score_answer"]
