"""A run of any suite with everything settled before a model is loaded or a folder made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hisa_eval.config.defaults import RESULTS
from hisa_eval.config.settings import RunSettings
from hisa_eval.errors import UserError
from hisa_eval.indexers import registry as indexer_registry
from hisa_eval.models import registry as model_registry
from hisa_eval.models.openai_server.claim import parse_label
from hisa_eval.models.openai_server.facts import describe, is_address
from hisa_eval.run.device import SERVER, resolve_device, resolve_dtype
from hisa_eval.run.folder import Folder, choose_folder, named_folder
from hisa_eval.run.grid import Layout
from hisa_eval.run.needs import check_fits
from hisa_eval.run.questions import Questions
from hisa_eval.run.store import RunStore

if TYPE_CHECKING:
    from hisa_eval.indexers.base import Indexer


@dataclass(frozen=True)
class Answerer:
    """Who answers: what every suite settles alike.

    Attributes:
        model: Facts of the model that need no weights.
        device: Where it runs, `auto` resolved.
        dtype: Of weights and activations, `auto` resolved.
        topk: Token budget k that it uses.
        indexers: In the order of the tables.
    """

    model: Mapping[str, Any]
    device: str
    dtype: str
    topk: int
    indexers: tuple[Indexer, ...]

    @property
    def labels(self) -> list[str]:
        """Labels of the indexers."""
        return [one.label for one in self.indexers]


@dataclass(frozen=True)
class PlannedRun:
    """A checked run.

    Attributes:
        command: Name of the command.
        settings: As given.
        answerer: Who answers.
        questions: What is asked.
        layout: In which order.
        decided: What the suite settled beyond the settings, for their canonical form; JSON types only.
        notes: What the user should know of it, one line each.
    """

    command: str
    settings: RunSettings
    answerer: Answerer
    questions: Questions
    layout: Layout
    decided: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """Every setting in the one form that is compared and hashed: equal runs have equal forms."""
        who = self.answerer
        return {
            **self.settings.model_dump(mode="json"),
            "command": self.command,
            "indexer": who.labels,
            "device": who.device,
            "dtype": who.dtype,
            "topk": who.topk or None,
            "checkpoint": who.model["checkpoint"],
            **self.decided,
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


def settle(settings: RunSettings) -> Answerer:
    """Check model, indexers and device, without weights.

    Raises:
        UserError: names that do not exist, options that do not go together, a device that is not there.
    """
    if is_address(settings.model):
        return Answerer(
            describe(settings.model), SERVER, SERVER, settings.topk or 0, (parse_label(settings.label),)
        )
    if settings.label or settings.tokenizer:
        raise UserError(
            "--label and --tokenizer are for servers", "name one: --model http://HOST:PORT/v1#MODEL"
        )
    indexers = tuple(indexer_registry.parse_list(settings.indexer))
    facts = model_registry.describe(settings.model)
    topk = settings.topk or int(facts["topk"])
    for indexer in indexers:
        check = getattr(indexer, "check_budget", None)
        if check is not None:
            check(topk)
    device = resolve_device(settings.device)
    dtype = resolve_dtype(settings.dtype, device)
    if settings.model not in model_registry.available():
        check_fits(settings.model, device=device, dtype=dtype, spread=settings.spread)
    return Answerer(facts, device, dtype, topk, indexers)


def run_folder(run: PlannedRun, out: Path | None, *, resume: bool = True) -> Folder:
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
        folder = choose_folder(Path(RESULTS), run.command, run.canonical, len(run.layout), resume=resume)
    RunStore.preflight(folder.path, run.canonical)
    return folder
