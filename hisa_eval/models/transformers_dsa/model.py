"""A transformers DSA checkpoint as a `Model` of the harness."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hisa_eval.fidelity.frame import Frame, spread_rows
from hisa_eval.indexers.base import Indexer
from hisa_eval.models.base import Generation
from hisa_eval.models.checkpoint import checkpoint_hash
from hisa_eval.models.errors import CellError
from hisa_eval.models.lead_in import lead_in
from hisa_eval.models.tokens import CheckpointTokenizer
from hisa_eval.models.transformers_dsa.capture import capture_frames
from hisa_eval.models.transformers_dsa.loading import stop_ids
from hisa_eval.models.transformers_dsa.seams import load_swapped
from hisa_eval.models.transformers_dsa.session import Session
from hisa_eval.models.transformers_dsa.timing import SwappedStopwatch
from hisa_kernels.dispatch import backend_in_use
from hisa_tasks.sample import Sample, Tokenizer

CHUNK = {"cpu": 2048, "cuda": 8192}
"""Tokens of a prefill chunk."""

_WORKING_BYTES = 900 * 2**20
"""Interpreter, libraries and the temporaries of one chunk, measured with the nano model on CPU."""


_KEPT_TOKENS = 8 << 20
"""Tokens of encoded prompts that are kept, 4 bytes each."""


def _chunk(device: str) -> int:
    return CHUNK["cuda" if device.startswith("cuda") else "cpu"]


@contextmanager
def _memory_as_cell_error() -> Iterator[None]:
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise CellError(f"out of memory: {str(error).splitlines()[0] if str(error) else 'host'}") from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise CellError(f"out of memory: {str(error).splitlines()[0]}") from error


class TransformersModel:
    """A loaded checkpoint.

    Args:
        path: Folder in the Hugging Face layout.
        name: How tables call it.
        description: One or two sentences on what it is, for manifests and reports.
        device: `"cpu"` or `"cuda"`.
        dtype: Of weights and activations.
        topk: Token budget k; the checkpoint's own by default.
        spread: Over one device or several, see `load_swapped`.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        description: str,
        device: str,
        dtype: torch.dtype = torch.float32,
        topk: int | None = None,
        spread: str = "one",
    ) -> None:
        self.name = name
        self._path = path
        self._description = description
        self._device = device
        self._dtype = dtype
        self._spread = spread
        self._tokenizer = CheckpointTokenizer(path)
        self._encoded: dict[tuple[object, ...], tuple[NDArray[np.int32], list[int]]] = {}
        self._model, self._runtime = load_swapped(str(path), dtype, device, spread=spread)
        if topk is not None:
            self._runtime.topk = topk
        self._session = Session(
            self._model,
            self._runtime,
            chunk=_chunk(device),
            stop_ids=stop_ids(self._model),
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's own tokenizer."""
        return self._tokenizer

    @property
    def topk(self) -> int:
        """Token budget k."""
        return self._runtime.topk

    def describe(self) -> Mapping[str, Any]:
        """What a manifest says of it."""
        config = self._model.config
        return {
            "name": self.name,
            "description": self._description,
            "architecture": config.architectures[0],
            "checkpoint": checkpoint_hash(self._path),
            "parameters": sum(p.numel() for p in self._model.parameters()),
            "layers": config.num_hidden_layers,
            "index_heads": config.index_n_heads,
            "index_head_dim": config.index_head_dim,
            "topk": self.topk,
            "dtype": str(self._dtype).removeprefix("torch."),
            "device": self._device,
            "kernels": backend_in_use(self._device, self._dtype),
            # Its rounding is the eager one's as far as a test can show; named where it is not the default.
            **({"decoding": self._session.decoding} if self._session.decoding != "eager" else {}),
            **({} if self._spread == "one" else {"spread": self._spread}),
        }

    def generate(self, sample: Sample, indexer: Indexer, *, probe: bool = True, seed: int = 0) -> Generation:
        """Answer `sample` greedily; see `hisa_eval.models.base.Model.generate`."""
        tokens, evidence = self._encode(sample)
        self._check_length(len(tokens), sample.max_new_tokens)
        try:
            with _memory_as_cell_error():
                answer = self._session.answer(
                    tokens,
                    indexer,
                    sample.max_new_tokens,
                    probe=probe,
                    seed=seed,
                    evidence=evidence,
                    stop_ids=[self._tokenizer.encode(text)[-1] for text in sample.stop],
                )
        except BaseException:
            # What the cache holds after an interruption is anybody's guess.
            self._session.reset()
            raise
        return Generation(
            text=self._tokenizer.decode(answer.ids),
            n_prompt_tokens=len(tokens),
            n_generated=len(answer.ids),
            finish_reason=answer.finish_reason,
            prefill_seconds=answer.prefill_seconds,
            decode_seconds=answer.decode_seconds,
            n_reused_tokens=answer.n_reused_tokens,
            selection=answer.selection,
        )

    def capture(
        self,
        sample: Sample,
        *,
        rows: int,
        seed: int | str = 0,
        attention: bool = True,
        indexer: Indexer | None = None,
    ) -> list[Frame]:
        """What each layer's indexer sees of sampled rows of a prompt, after `indexer` in the layers before.

        The last row of the frames is the answering one: it gives the first token of the first reference. That
        is the prompt's last row, or the one behind it that reads the space where that is a token of its own:
        see `hisa_eval.models.lead_in`.

        Args:
            sample: The prompt.
            rows: Rows drawn, spread evenly over the prompt; the answering row comes besides.
            seed: Decides the draw.
            attention: Also keep the rows' dense attention.
            indexer: Runs the model; flat DSA by default.

        Raises:
            CellError: out of memory, or longer than the model's context.
        """
        tokens, evidence = self._encode(sample)
        before = lead_in(self._tokenizer, sample.references[0]) if sample.references else []
        self._check_length(len(tokens), max(sample.max_new_tokens, len(before)))
        read = np.concatenate([tokens, np.array(before, dtype=tokens.dtype)])
        # The pass leaves the runtime in the middle of another sequence.
        self._session.reset()
        with _memory_as_cell_error():
            frames = capture_frames(
                self._model,
                self._runtime,
                read,
                spread_rows(len(tokens), rows, seed, len(read) - 1),
                chunk=_chunk(self._device),
                indexer=indexer,
                attention=attention,
                evidence=evidence,
            )
        return [replace(frame, lead_in=len(before)) for frame in frames]

    def stopwatch(self) -> SwappedStopwatch:
        """Times answers of a given number of tokens: nothing is kept between two, no token ends one early."""
        self._session.reset()
        session = Session(self._model, self._runtime, chunk=_chunk(self._device), stop_ids=())
        return SwappedStopwatch(session, self._device)

    def _check_length(self, n_prompt: int, n_new: int) -> None:
        limit = self._model.config.max_position_embeddings
        if n_prompt + n_new > limit:
            raise CellError(
                f"{n_prompt} prompt tokens and {n_new} to generate exceed the model's context of {limit}"
            )

    def _encode(self, sample: Sample) -> tuple[NDArray[np.int32], list[int]]:
        """Token ids and positions of the evidence of a prompt; kept, since every indexer gets each prompt."""
        digest = hashlib.sha256(sample.prompt.encode("utf-8", "surrogatepass")).digest()
        key = (digest, sample.evidence, sample.literal)
        found = self._encoded.get(key)
        if found is None:
            found = self._tokenizer.encode_with(sample.prompt, sample.evidence, sample.literal)
            held = sum(len(one) for one, _ in self._encoded.values())
            if held + len(found[0]) > _KEPT_TOKENS:
                self._encoded.clear()
            self._encoded[key] = found
        return found

    def memory_bytes(self, length: int, indexer: Indexer) -> int:
        """Forecast of the peak memory, in bytes, of one sample of `length` tokens."""
        config = self._model.config
        item = self._dtype.itemsize
        weights = sum(p.numel() for p in self._model.parameters()) * item
        per_token = 2 * (config.kv_lora_rank + config.qk_rope_head_dim) + config.index_head_dim
        # Buffers double as they grow, and one copy is alive while they do.
        return _WORKING_BYTES + weights + 2 * length * per_token * config.num_hidden_layers * item
