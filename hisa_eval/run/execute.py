"""A planned run carried out: model loaded, store opened, every step taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hisa_eval.models import registry as model_registry
from hisa_eval.models.openai_server.claim import parse_label
from hisa_eval.models.openai_server.facts import is_address
from hisa_eval.run.canonical import text_hash
from hisa_eval.run.device import device_facts, set_threads
from hisa_eval.run.folder import Folder
from hisa_eval.run.manifest import collect_environment
from hisa_eval.run.plan import PlannedRun
from hisa_eval.run.runner import Observer, Outcome, Runner
from hisa_eval.run.store import RunStore

if TYPE_CHECKING:
    from hisa_eval.models.base import Model


class Reporter(Observer, Protocol):
    """An observer that is also told of the slow parts before the first step."""

    def phase(self, text: str) -> None:
        """A slow part begins."""
        ...


def load_model(run: PlannedRun, *, threads: int | None = None) -> Model:
    """The run's model.

    Raises:
        UserError: the model cannot be loaded.
    """
    if is_address(run.settings.model):
        return _served(run)
    set_threads(threads)
    return model_registry.load(
        run.settings.model,
        device=run.answerer.device,
        dtype=run.answerer.dtype,
        seed=run.settings.seed,
        topk=run.settings.topk,
        spread=run.settings.spread,
    )


def _served(run: PlannedRun) -> Model:
    from hisa_eval.models.openai_server.model import ServerModel

    settings = run.settings
    name = settings.tokenizer or ""
    return ServerModel(
        settings.model,
        tokenizer=model_registry.tokenizer(name),
        tokenizer_hash=text_hash((model_registry.folder(name) / "tokenizer.json").read_text("utf-8")),
        claim=parse_label(settings.label).claim,
        concurrency=settings.concurrency,
    )


def time_one_sample(run: PlannedRun, model: Model) -> tuple[int, str, float]:
    """How long this machine takes for one short prompt, after one for warming up.

    Args:
        run: A checked run.
        model: Its model.

    Returns:
        Tokens of the context, label of the indexer, seconds.
    """
    indexer, length, seconds = run.answerer.indexers[0], 0, 0.0
    for index in range(2):
        sample = run.questions.trial(index, model.tokenizer)
        answer = model.generate(sample, indexer, probe=run.settings.probe)
        length, seconds = sample.length, answer.prefill_seconds + answer.decode_seconds
    return length, indexer.label, seconds


def execute(run: PlannedRun, folder: Folder, reporter: Reporter, *, threads: int | None = None) -> Outcome:
    """Load the model and take the run to its end.

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
    settings, who = run.settings, run.answerer
    reporter.phase(f"loading {settings.model} on {who.device} ...")
    model = load_model(run, threads=threads)
    described = dict(model.describe())
    environment = collect_environment(
        command=run.command,
        model=described,
        device=device_facts(who.device),
        task_data=run.questions.describe(),
        indexers=[{"label": one.label, "settings": dict(one.settings)} for one in who.indexers],
        seed=settings.seed,
    )
    with RunStore.create_or_open(folder.path, run.canonical, environment) as store:
        kept = sum(record["status"] == "ok" for record in store.records())
        where = f"{folder.path}: {len(run.layout)} samples"
        reporter.phase(f"resuming {where}, {kept} finished" if store.resumed else where)
        decisive = {name: fact for name, fact in described.items() if name not in ("device", "description")}
        runner = Runner(
            model,
            run.questions,
            who.indexers,
            identity={"model": decisive, "device": who.device},
            seed=settings.seed,
            probe=settings.probe,
        )
        return runner.run(run.layout, store, reporter)
