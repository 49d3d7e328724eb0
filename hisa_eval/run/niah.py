"""A needle run: everything settled before a model is loaded or a folder made, then carried out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hisa_eval.config.defaults import RESULTS
from hisa_eval.config.niah import NiahSettings
from hisa_eval.errors import UserError, unknown_name
from hisa_eval.indexers import registry as indexer_registry
from hisa_eval.models import registry as model_registry
from hisa_eval.run.device import device_facts, resolve_device, resolve_dtype, set_threads
from hisa_eval.run.folder import Folder, choose_folder, named_folder
from hisa_eval.run.grid import Grid, make_grid
from hisa_eval.run.manifest import collect_environment
from hisa_eval.run.runner import Observer, Outcome, Runner
from hisa_eval.run.store import RunStore
from hisa_tasks.niah import NiahTask, score

if TYPE_CHECKING:
    from hisa_eval.indexers.base import Indexer
    from hisa_eval.models.base import Model

COMMAND = "niah"

TIMED_LENGTH = 2048
"""Tokens of the prompt that a forecast times."""


class Reporter(Observer, Protocol):
    """An observer that is also told of the slow parts before the grid."""

    def phase(self, text: str) -> None:
        """A slow part begins."""
        ...


@dataclass(frozen=True)
class NiahRun:
    """A checked run.

    Attributes:
        settings: As given.
        device: Where the model runs, `auto` resolved.
        dtype: Of weights and activations, `auto` resolved.
        topk: Token budget k that the model uses.
        checkpoint: Hash of the model's files.
        task: Makes the samples.
        indexers: In the order of the tables.
        grid: What to run.
    """

    settings: NiahSettings
    device: str
    dtype: str
    topk: int
    checkpoint: str
    task: NiahTask
    indexers: tuple[Indexer, ...]
    grid: Grid

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """Every setting in the one form that is compared and hashed: equal runs have equal forms."""
        return {
            **self.settings.model_dump(mode="json"),
            "command": COMMAND,
            "indexer": [indexer.label for indexer in self.indexers],
            "device": self.device,
            "dtype": self.dtype,
            "topk": self.topk,
            "checkpoint": self.checkpoint,
            "max_new_tokens": self.task.max_new_tokens,
            "distractors": self.task.distractors,
            "task_data": self.task.data_hash(),
        }


@contextmanager
def input_errors(fix: str = "see hisa-eval niah --help") -> Iterator[None]:
    """Turn the `ValueError` of a part that knows no `UserError` into one.

    Args:
        fix: How to mend it, where the message does not say so behind a dash.
    """
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        what, dash, mend = str(error).partition(" – ")
        raise UserError(what, mend if dash else fix) from error


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


def plan_niah(settings: NiahSettings) -> NiahRun:
    """Check everything that can be checked without weights.

    Args:
        settings: Validated one by one.

    Raises:
        UserError: names that do not exist, options that do not go together, files that cannot be used, a
            length too short for its needles.
    """
    indexers = tuple(indexer_registry.parse_list(settings.indexer))
    if settings.model not in model_registry.available():
        raise unknown_name("model", settings.model, model_registry.available())
    facts = model_registry.describe(settings.model)
    topk = settings.topk or int(facts["topk"])
    for indexer in indexers:
        check = getattr(indexer, "check_budget", None)
        if check is not None:
            check(topk)
    task = make_task(settings)
    grid = make_grid(settings.lengths, settings.depths, settings.samples, [one.label for one in indexers])
    with input_errors():
        task.sample(grid.lengths[0], grid.depths[-1], 0, model_registry.tokenizer(settings.model))
    device = resolve_device(settings.device)
    return NiahRun(
        settings=settings,
        device=device,
        dtype=resolve_dtype(settings.dtype, device),
        topk=topk,
        checkpoint=facts["checkpoint"],
        task=task,
        indexers=indexers,
        grid=grid,
    )


def niah_folder(run: NiahRun, out: Path | None, *, resume: bool = True) -> Folder:
    """Where the run lands; nothing is written yet.

    Args:
        run: The run.
        out: Folder named by the user, if any.
        resume: Whether a run that was stopped may be taken up.

    Raises:
        UserError: the folder cannot be written, or holds something else.
    """
    if out is not None:
        folder = named_folder(out, resume=resume)
    else:
        folder = choose_folder(Path(RESULTS), COMMAND, run.canonical, len(run.grid), resume=resume)
    RunStore.preflight(folder.path, run.canonical)
    return folder


def load_model(run: NiahRun, *, threads: int | None = None) -> Model:
    """The run's model.

    Raises:
        UserError: the model cannot be loaded.
    """
    set_threads(threads)
    return model_registry.load(
        run.settings.model,
        device=run.device,
        dtype=run.dtype,
        seed=run.settings.seed,
        topk=run.settings.topk,
    )


def time_one_sample(run: NiahRun, model: Model) -> tuple[int, str, float]:
    """How long this machine takes for one short prompt, after one for warming up.

    Args:
        run: A checked run.
        model: Its model.

    Returns:
        Tokens of the context, label of the indexer, seconds.
    """
    indexer, seconds = run.indexers[0], 0.0
    length = min(TIMED_LENGTH, run.grid.lengths[0])
    try:
        run.task.sample(length, 100.0, 0, model.tokenizer)
    except ValueError:
        length = run.grid.lengths[0]
    for index in range(2):
        sample = run.task.sample(length, 100.0, index, model.tokenizer)
        answer = model.generate(sample, indexer, probe=run.settings.probe)
        seconds = answer.prefill_seconds + answer.decode_seconds
    return length, indexer.label, seconds


def execute(run: NiahRun, folder: Folder, reporter: Reporter, *, threads: int | None = None) -> Outcome:
    """Load the model and take the grid to its end.

    Args:
        run: A checked run.
        folder: Where its results are and go.
        reporter: Is told of every step.
        threads: CPU threads; all cores by default.

    Returns:
        What was done.

    Raises:
        UserError: as `load_model`, or the folder cannot be written or holds another run.
        KeyboardInterrupt: stopped by the user; everything finished is kept.
    """
    reporter.phase(f"loading {run.settings.model} on {run.device} ...")
    model = load_model(run, threads=threads)
    described = dict(model.describe())
    environment = collect_environment(
        command=COMMAND,
        model=described,
        device=device_facts(run.device),
        task_data=run.task.describe(),
        indexers=[{"label": one.label, "settings": dict(one.settings)} for one in run.indexers],
        seed=run.settings.seed,
    )
    with RunStore.create_or_open(folder.path, run.canonical, environment) as store:
        kept = sum(record["status"] == "ok" for record in store.records())
        where = f"{folder.path}: {len(run.grid)} samples"
        reporter.phase(f"resuming {where}, {kept} finished" if store.resumed else where)
        decisive = {name: fact for name, fact in described.items() if name not in ("device", "description")}
        runner = Runner(
            model,
            run.task,
            score,
            run.indexers,
            name=COMMAND,
            identity={"model": decisive, "task": dict(run.task.describe()), "device": run.device},
            seed=run.settings.seed,
            probe=run.settings.probe,
        )
        return runner.run(run.grid, store, reporter)
