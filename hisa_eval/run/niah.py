"""A needle run: one task over lengths and depths."""

from __future__ import annotations

from hisa_eval.config.niah import NiahSettings
from hisa_eval.models import registry as model_registry
from hisa_eval.run.grid import make_grid
from hisa_eval.run.plan import PlannedRun, input_errors, settle
from hisa_eval.run.questions import TasksByLength
from hisa_tasks.niah import NiahTask, score

COMMAND = "niah"


def make_task(settings: NiahSettings) -> NiahTask:
    """The task that the settings name.

    Raises:
        UserError: an unknown needle, or a haystack that cannot be used.
    """
    room = {} if settings.max_new_tokens is None else {"max_new_tokens": settings.max_new_tokens}
    with input_errors():
        return NiahTask(
            needle=settings.needle,
            haystack=settings.haystack,
            seed=settings.seed,
            n_distractors=settings.distractors,
            **room,
        )


def plan_niah(settings: NiahSettings) -> PlannedRun:
    """Check everything that can be checked without weights.

    Args:
        settings: Validated one by one.

    Raises:
        UserError: names that do not exist, options that do not go together, files that cannot be used, a
            length too short for its needles.
    """
    answerer = settle(settings)
    task = make_task(settings)
    grid = make_grid(settings.lengths, settings.depths, settings.samples, answerer.labels)
    with input_errors():
        task.sample(
            grid.lengths[0],
            settings.depths[-1],
            0,
            model_registry.tokenizer(settings.tokenizer or settings.model),
        )
    return PlannedRun(
        command=COMMAND,
        settings=settings,
        answerer=answerer,
        questions=TasksByLength({COMMAND: task}, score, grid),
        layout=grid,
        decided={
            "max_new_tokens": task.max_new_tokens,
            "distractors": task.distractors,
            "task_data": task.data_hash(),
        },
    )
