"""The models of an end-to-end measurement, each under its stopwatch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hisa_eval.latency.end_to_end import STOCK, PlannedEndToEnd
from hisa_eval.latency.memory import PeakMemory
from hisa_eval.models import registry as model_registry
from hisa_eval.run.runner import reason_of

if TYPE_CHECKING:
    from hisa_eval.models.transformers_dsa.timing import StockStopwatch


class Clocks:
    """The models under their stopwatches; a failure is a reason, not an exception."""

    def __init__(self, run: PlannedEndToEnd) -> None:
        import torch

        from hisa_eval.models.transformers_dsa.model import CHUNK, TransformersModel
        from hisa_eval.models.transformers_dsa.timing import StockStopwatch

        settings, who = run.settings, run.answerer
        model = model_registry.load(
            settings.model,
            device=who.device,
            dtype=who.dtype,
            seed=settings.seed,
            topk=settings.topk,
            spread=settings.spread,
        )
        assert isinstance(model, TransformersModel)
        self.described = dict(model.describe())
        self._n_new = settings.max_new_tokens or 0
        self._indexers = {one.label: one for one in who.indexers}
        self._memory = PeakMemory(who.device)
        self._own = model.stopwatch()
        self._limit = int(who.model.get("context") or 0)
        self._stock: StockStopwatch | None = None
        if settings.stock:
            self._stock = StockStopwatch(
                model_registry.folder(settings.model, weights=True),
                device=who.device,
                dtype={"f32": torch.float32, "bf16": torch.bfloat16}[who.dtype],
                topk=who.topk,
                chunk=CHUNK[who.device],
            )

    def warm(self, label: str, tokens: list[int]) -> dict[str, Any] | str:
        """As `time`, from empty buffers and with the peak memory."""
        self._own.release()
        self._memory.begin()
        found = self.time(label, tokens)
        if not isinstance(found, str):
            found["peak_bytes"] = self._memory.read()
        return found

    def time(self, label: str, tokens: list[int]) -> dict[str, Any] | str:
        """Figures of one answer, or why there are none."""
        if self._limit and len(tokens) + self._n_new > self._limit:
            return f"{len(tokens)} tokens and {self._n_new} to generate exceed the context of {self._limit}"
        try:
            if label == STOCK:
                assert self._stock is not None
                answer = self._stock.time(tokens, None, self._n_new)
            else:
                answer = self._own.time(tokens, self._indexers[label], self._n_new)
        except Exception as error:
            return reason_of(error)
        return {
            "ids": answer.ids,
            "first_seconds": answer.first,
            "following_seconds": answer.following,
            "setup_seconds": answer.setup,
            "decoding": answer.decoding,
        }
