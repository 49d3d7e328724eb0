"""An end-to-end measurement with everything settled before a model is loaded or a folder made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hisa_eval.config.defaults import RESULTS
from hisa_eval.config.end_to_end import EndToEndSettings
from hisa_eval.config.niah import niah_settings
from hisa_eval.errors import UserError
from hisa_eval.indexers import registry as indexer_registry
from hisa_eval.models import registry as model_registry
from hisa_eval.models.openai_server.facts import is_address
from hisa_eval.run.folder import Folder, choose_folder, named_folder
from hisa_eval.run.niah import make_task
from hisa_eval.run.plan import Answerer, input_errors, settle
from hisa_eval.run.store import RunStore

if TYPE_CHECKING:
    from hisa_tasks.niah import NiahTask

COMMAND = "end-to-end"
STOCK = "transformers"
"""What records and tables call transformers' own model."""

DEPTH = 50.0
"""Where the prompt's needle lies, in per cent."""


@dataclass(frozen=True)
class PlannedEndToEnd:
    """A checked measurement.

    Attributes:
        settings: With everything settled.
        answerer: Device, dtype, k and indexers, flat DSA first.
        task: Makes the prompts.
    """

    settings: EndToEndSettings
    answerer: Answerer
    task: NiahTask

    @property
    def contestants(self) -> list[str]:
        """Labels, in the order of the tables."""
        return [*self.answerer.labels, *([STOCK] if self.settings.stock else [])]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Context lengths in tokens."""
        return self.settings.lengths or ()

    @property
    def repetitions(self) -> int:
        """Timed answers of everybody at every length."""
        return self.settings.repetitions or 0

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """Every setting in the one form that is compared and hashed."""
        who = self.answerer
        return {
            **self.settings.model_dump(mode="json"),
            "command": COMMAND,
            "indexer": who.labels,
            "device": who.device,
            "dtype": who.dtype,
            "topk": who.topk,
            "checkpoint": who.model["checkpoint"],
            "task_data": self.task.data_hash(),
            "n_planned": len(self.lengths) * len(self.contestants) * self.repetitions,
        }


def plan_end_to_end(settings: EndToEndSettings) -> PlannedEndToEnd:
    """Check everything that can be checked without weights; flat DSA always takes part.

    Raises:
        UserError: names that do not exist, options that do not go together, a length too short for a prompt.
    """
    if is_address(settings.model):
        raise UserError(
            f"{settings.model} runs elsewhere: its times are those of a server",
            "name a model that is loaded here, see hisa-eval list models",
        )
    who = settle(settings)
    flat = [one for one in who.indexers if one.name == "dsa"] or [indexer_registry.parse("dsa")]
    others = {one.label: one for one in who.indexers if one.name != "dsa"}
    who = Answerer(who.model, who.device, who.dtype, who.topk, (flat[0], *others.values()))
    settings = settings.settled(who.device)
    chosen = {"seed": settings.seed, "max_new_tokens": settings.max_new_tokens}
    with input_errors("see hisa-eval latency --help"):
        task = make_task(niah_settings(chosen))
        assert settings.lengths is not None
        task.sample(settings.lengths[0], DEPTH, 0, model_registry.tokenizer(settings.model))
    return PlannedEndToEnd(settings, who, task)


def end_to_end_folder(run: PlannedEndToEnd, out: Path | None, *, resume: bool = True) -> Folder:
    """Where the measurement lands; nothing is written yet.

    Raises:
        UserError: the folder cannot be written, or holds something else.
    """
    if out is not None:
        folder = named_folder(out, resume=resume)
    else:
        n = int(run.canonical["n_planned"])
        folder = choose_folder(Path(RESULTS), COMMAND, run.canonical, n, resume=resume)
    RunStore.preflight(folder.path, run.canonical)
    return folder
