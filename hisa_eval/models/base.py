"""What a model is to the harness: something that answers a `Sample` with an indexer inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hisa_eval.indexers.base import Indexer
from hisa_tasks.sample import Sample, Tokenizer


@dataclass(frozen=True)
class Generation:
    """One answer and how it came about.

    Attributes:
        text: Generated text, stop token excluded.
        n_prompt_tokens: Tokens really sent.
        n_generated: Tokens generated, stop token excluded.
        finish_reason: `"stop"` (end-of-sequence token) or `"length"`.
        prefill_seconds: Wall time up to the first token.
        decode_seconds: Wall time of the remaining tokens.
        n_reused_tokens: Prompt tokens whose state was kept from the sample before.
        selection: Figures on the selection itself, see `hisa_eval.fidelity.probe`; empty if not probed.
    """

    text: str
    n_prompt_tokens: int
    n_generated: int
    finish_reason: str
    prefill_seconds: float
    decode_seconds: float
    n_reused_tokens: int = 0
    selection: Mapping[str, Any] = field(default_factory=dict)


class Model(Protocol):
    """A loaded model."""

    name: str

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own tokenizer."""
        ...

    @property
    def topk(self) -> int:
        """Token budget k of the model's indexer (`index_topk`)."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What a manifest says of it: checkpoint hash, architecture, dtype, device, parameter count."""
        ...

    def generate(self, sample: Sample, indexer: Indexer, *, probe: bool = True, seed: int = 0) -> Generation:
        """Answer `sample` greedily with `indexer` choosing the keys.

        Args:
            sample: The question.
            indexer: Who selects, in every layer.
            probe: Also compare the selection with flat DSA's on sampled rows.
            seed: Decides which rows the probe samples.

        Raises:
            hisa_eval.models.errors.CellError: the sample cannot be answered (out of memory, context too
                long); its message is the recorded reason.
        """
        ...

    def memory_bytes(self, length: int, indexer: Indexer) -> int:
        """Forecast of the peak memory, in bytes, of one sample of `length` tokens."""
        ...
