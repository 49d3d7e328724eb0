"""Where the inputs of a comparison come from: a model's prefill, a recorded file, or a named distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hisa_eval.config.fidelity import FidelitySettings
from hisa_eval.config.niah import niah_settings
from hisa_eval.errors import UserError, unknown_name
from hisa_eval.models import registry as model_registry
from hisa_eval.run.canonical import text_hash
from hisa_eval.run.fidelity_place import Place, Source
from hisa_eval.run.fidelity_recorded import DumpSource
from hisa_eval.run.grid import make_grid
from hisa_eval.run.niah import make_task
from hisa_eval.run.plan import input_errors

if TYPE_CHECKING:
    from hisa_eval.fidelity.frame import Frame
    from hisa_eval.indexers.base import Indexer
    from hisa_tasks.sample import Sample


@dataclass
class ModelSource:
    """Needle prompts through a model's own indexer.

    Attributes:
        settings: Of the run.
        device: Resolved.
        dtype: Resolved.
        topk: Budget k of the model, or what the settings put in its place.
        runner: The indexer that the model runs with.
    """

    settings: FidelitySettings
    device: str
    dtype: str
    topk: int
    runner: Indexer
    _model: Any = None
    _samples: dict[Place, Sample] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings
        chosen = {name: getattr(settings, name) for name in ("needle", "distractors", "haystack", "seed")}
        self._task = make_task(niah_settings(chosen))
        self._tokenizer = model_registry.tokenizer(settings.model)
        facts = model_registry.describe(settings.model)
        self._identity: dict[str, Any] = {
            "model": {"name": settings.model, "checkpoint": facts["checkpoint"], "dtype": self.dtype},
            "device": self.device,
            "task": dict(self._task.describe()),
            "run_with": {"name": self.runner.name, "settings": dict(self.runner.settings)},
        }
        grid = make_grid(settings.lengths, settings.depths, settings.samples, ["-"], ["fidelity/niah"])
        # Each context has a haystack of its own, so that contexts are independent.
        order = {depth: place for place, depth in enumerate(grid.depths)}
        self._places = [
            Place(step.task, step.length or 0, step.depth, step.sample * len(order) + order[step.depth])
            for step in grid.steps()
        ]
        with input_errors("see hisa-eval fidelity --help"):
            self._task.sample(settings.lengths[0], settings.depths[-1], 0, self._tokenizer)

    @property
    def places(self) -> list[Place]:
        """See `Source`."""
        return self._places

    def _sample(self, place: Place) -> Sample:
        if place not in self._samples:
            self._samples.clear()
            self._samples[place] = self._task.sample(
                place.length, place.depth or 0.0, place.sample, self._tokenizer
            )
        return self._samples[place]

    def facts(self, place: Place) -> Mapping[str, Any]:
        """See `Source`."""
        sample = self._sample(place)
        return {
            "sample_id": f"{place.task.partition('/')[0]}/{sample.id}",
            "needle": str(sample.meta.get("needle", "")),
            "haystack": str(sample.meta.get("haystack", "")),
            "prompt_sha256": text_hash(sample.prompt),
            "prompt_tail": sample.prompt[-200:],
            "references": list(sample.references),
            "n_prompt_tokens": sample.n_prompt_tokens,
            "max_new_tokens": sample.max_new_tokens,
        }

    def identity(self) -> Mapping[str, Any]:
        """See `Source`."""
        return self._identity

    def describe(self) -> Mapping[str, Any] | None:
        """See `Source`."""
        return dict(self._model.describe())

    def open(self) -> None:
        """See `Source`."""
        if self._model is None:
            settings = self.settings
            self._model = model_registry.load(
                settings.model, device=self.device, dtype=self.dtype, seed=settings.seed, topk=settings.topk
            )

    def frames(self, place: Place) -> list[Frame]:
        """See `Source`."""
        settings = self.settings
        found: list[Frame] = self._model.capture(
            self._sample(place),
            rows=settings.rows,
            seed=settings.seed,
            attention=settings.attention,
            indexer=self.runner,
        )
        return found


@dataclass
class SyntheticSource:
    """Named distributions."""

    settings: FidelitySettings
    device: str
    topk: int = 2048

    def __post_init__(self) -> None:
        from hisa_eval.fidelity.synthetic import DISTRIBUTIONS

        self._names = [name.strip() for name in str(self.settings.synthetic).split(",")]
        for name in self._names:
            if name not in DISTRIBUTIONS:
                raise unknown_name("distribution", name, DISTRIBUTIONS)

    @property
    def places(self) -> list[Place]:
        """See `Source`."""
        settings = self.settings
        grid = make_grid(
            settings.lengths,
            (),
            settings.samples,
            ["-"],
            [f"fidelity/synthetic/{name}" for name in self._names],
        )
        return [Place(step.task, step.length or 0, None, step.sample) for step in grid.steps()]

    def facts(self, place: Place) -> Mapping[str, Any]:
        """See `Source`."""
        name = f"{place.task}/{place.length}/s{place.sample}"
        return {
            "sample_id": name,
            "prompt_sha256": text_hash(name),
            "n_prompt_tokens": place.length,
            "max_new_tokens": 0,
        }

    def identity(self) -> Mapping[str, Any]:
        """See `Source`."""
        from hisa_eval.fidelity.synthetic import VERSION

        return {
            "synthetic_version": VERSION,
            "heads": self.settings.heads,
            "dim": self.settings.dim,
            "device": self.device,
        }

    def describe(self) -> Mapping[str, Any] | None:
        """See `Source`."""
        return None

    def open(self) -> None:
        """See `Source`."""

    def frames(self, place: Place) -> list[Frame]:
        """See `Source`."""
        from hisa_eval.fidelity.synthetic import make_frame

        settings = self.settings
        return [
            make_frame(
                place.task.rpartition("/")[2],
                place.length,
                rows=settings.rows,
                heads=settings.heads,
                dim=settings.dim,
                seed=settings.seed + 1_000_003 * place.sample,
                device=self.device,
            )
        ]


def source_of(settings: FidelitySettings, device: str, dtype: str, topk: int, runner: Indexer) -> Source:
    """The source that the settings ask for; a model runs with `runner`.

    Raises:
        UserError: two are asked for at once, or what is named is not there.
    """
    if settings.inputs and settings.synthetic:
        raise UserError("--inputs and --synthetic are both given", "give one of them")
    if (settings.inputs or settings.synthetic) and runner.name != "dsa":
        raise UserError(
            f"--run-with {runner.label}: no model runs with --inputs or --synthetic", "leave it out"
        )
    if settings.inputs:
        return DumpSource(settings, device, topk)
    if settings.synthetic:
        return SyntheticSource(settings, device, topk)
    return ModelSource(settings, device, dtype, topk, runner)
