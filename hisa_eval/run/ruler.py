"""A RULER run: several tasks over lengths."""

from __future__ import annotations

from hisa_eval.config.ruler import RulerSettings
from hisa_eval.models import registry as model_registry
from hisa_eval.run.canonical import value_hash
from hisa_eval.run.grid import make_grid
from hisa_eval.run.plan import PlannedRun, input_errors, settle
from hisa_eval.run.questions import TasksByLength
from hisa_tasks.ruler import RulerTask, expand, lacking_data, score
from hisa_tasks.ruler.catalog import GROUPS

COMMAND = "ruler"
HELP = "see hisa-eval ruler --help"


def make_tasks(settings: RulerSettings) -> tuple[dict[str, RulerTask], dict[str, str]]:
    """The tasks that the settings name, and those left out because nobody named them and their data lack.

    Args:
        settings: Without named tasks, all that have their data are taken.

    Returns:
        Tasks by name, and the reason of every task that was left out.

    Raises:
        UserError: an unknown task, or files that are missing or cannot be used.
    """
    with input_errors(HELP):
        wanted = expand(settings.tasks or ",".join(GROUPS["all"]))
        lacking = {} if settings.tasks else lacking_data(wanted, settings.data)
        if lacking and settings.data and set(lacking) == set(GROUPS["qa"]):
            raise ValueError(next(iter(lacking.values())))
        tasks = {
            name: RulerTask(
                name,
                seed=settings.seed,
                max_new_tokens=settings.max_new_tokens,
                haystack=settings.haystack,
                data=settings.data,
            )
            for name in wanted
            if name not in lacking
        }
    return tasks, lacking


def plan_ruler(settings: RulerSettings) -> PlannedRun:
    """Check everything that can be checked without weights.

    Args:
        settings: Validated one by one.

    Raises:
        UserError: names that do not exist, options that do not go together, files that are missing or cannot
            be used, a length too short for a task.
    """
    answerer = settle(settings)
    tasks, lacking = make_tasks(settings)
    tokenizer = model_registry.tokenizer(settings.tokenizer or settings.model)
    with input_errors(HELP):
        for task in tasks.values():
            task.sample(settings.lengths[0], 0.0, 0, tokenizer)
    hashes = {name: task.data_hash() for name, task in tasks.items()}
    by_record = {f"{COMMAND}/{name}": task for name, task in tasks.items()}
    grid = make_grid(settings.lengths, (), settings.samples, answerer.labels, tuple(by_record))
    return PlannedRun(
        command=COMMAND,
        settings=settings,
        answerer=answerer,
        questions=TasksByLength(by_record, score, grid, {"task": COMMAND, "data_hash": value_hash(hashes)}),
        layout=grid,
        decided={
            "tasks": list(tasks),
            "left_out": list(lacking),
            "task_data": hashes,
            "n_planned": len(grid),
        },
        notes=tuple(
            f"task {name} is left out: {why.partition(' – ')[2] or why}" for name, why in lacking.items()
        ),
    )
