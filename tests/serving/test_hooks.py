"""The hooks choose, row by row, what the indexer itself chooses on the same keys; no engine is needed."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from engine_batch import EngineBatch, Request, selected
from engine_kernels import compressed_logits, packed_logits, paged_logits, topk_rows

from hisa_eval.errors import UserError
from hisa_eval.serving.hooks import Hooks
from hisa_eval.serving.settings import serving
from hisa_eval.serving.signatures import layout_of

INDEXERS = [
    ("dsa", 64),
    ("hisa:block_size=32,num_blocks=6", 64),
    ("hisa:block_size=32,num_blocks=6,pooling=max,forced=none", 64),
    # Candidates of a row can be fewer than k here.
    ("hisa:block_size=24,num_blocks=3", 70),
    ("block-sparse:block_size=16", 96),
]
LAYOUTS = ["packed", "compressed"]


def _paged_with_clean_logits(
    q, kv_cache, weights, context_lens, block_tables, schedule_metadata, max_model_len, clean_logits
):  # type: ignore[no-untyped-def]
    return paged_logits(q, kv_cache, weights, context_lens, block_tables, schedule_metadata, max_model_len)


def _paged_with_indices(
    q, kv_cache, weights, context_lens, block_tables, schedule_metadata, max_model_len, indices=None
):  # type: ignore[no-untyped-def]
    return paged_logits(q, kv_cache, weights, context_lens, block_tables, schedule_metadata, max_model_len)


def _decode_topk(backend: str) -> Any:
    def run(logits, seq_lens, n, indices, topk, max_seq_len):  # type: ignore[no-untyped-def]
        topk_rows(logits, [0] * len(logits), seq_lens.flatten().tolist(), indices, topk)

    return run


def engine(layout: str) -> ModuleType:
    """A module with the names that are wrapped, with the parameters that this layout's vLLM has."""
    module = ModuleType("engine")
    packed = layout == "packed"
    module.fp8_fp4_mqa_logits = packed_logits if packed else compressed_logits
    module.fp8_fp4_paged_mqa_logits = _paged_with_clean_logits if packed else _paged_with_indices
    module.sparse_attn_indexer_fake = lambda *arguments: "dummy"
    module._merge_dcp_topk_global = lambda *arguments, row_starts=None: None
    module.get_indexer_topk = _decode_topk
    return module


def hooked(layout: str, spec: str, topk: int) -> tuple[ModuleType, Hooks]:
    """The module with hooks."""
    module = engine(layout)
    hooks = Hooks(module, serving(spec, topk), layout_of(module, "of this test"), "of this test")
    hooks.install()
    return module, hooks


def prefill(module: ModuleType, layout: str, batch: EngineBatch, topk: int) -> torch.Tensor:
    """The choice of the prefill rows, as the engine makes it."""
    first = sum(one.new for one in batch.decodes)
    starts, ends = batch.packed_bounds()
    width = max(one.length for one in batch.prefills)
    logits = module.fp8_fp4_mqa_logits(
        (batch.q[first:], None),
        batch.packed_keys(),
        batch.weights[first:],
        starts,
        ends,
        **({"clean_logits": False} if layout == "packed" else {"max_seqlen_k": width}),
    )
    row_starts = starts if layout == "packed" else torch.zeros_like(starts)
    indices = torch.full((len(starts), topk), -1, dtype=torch.int32)
    topk_rows(logits, row_starts.tolist(), (row_starts + ends - starts).tolist(), indices, topk)
    given = starts if layout == "packed" else None
    module._merge_dcp_topk_global(logits, indices, topk, 0, 1, 1, row_starts=given)
    return indices


def decode(module: ModuleType, layout: str, batch: EngineBatch, topk: int, n: int = 1) -> torch.Tensor:
    """The choice of the decode rows, n of each sequence."""
    sequences, rows = len(batch.decodes), len(batch.decodes) * n
    back = torch.arange(1 - n, 1)
    lengths = (torch.tensor([one.length for one in batch.decodes])[:, None] + back).to(torch.int32)
    logits = module.fp8_fp4_paged_mqa_logits(
        (batch.q[:rows].unflatten(0, (sequences, n)), None),
        batch.pages.unsqueeze(2),
        batch.weights[:rows],
        lengths,
        batch.table[:sequences],
        None,
        max_model_len=batch.table.shape[1] * 64,
        **({"clean_logits": False} if layout == "packed" else {"indices": None}),
    )
    indices = torch.full((rows, topk), -1, dtype=torch.int32)
    module.get_indexer_topk("auto")(logits, lengths, n, indices, topk, 0)
    return indices


@pytest.fixture(scope="module")
def batch() -> EngineBatch:
    """Three decode rows, then prompts: fresh, half cached, of one token."""
    return EngineBatch()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("spec", "topk"), INDEXERS)
def test_rows_are_those_of_the_indexer(batch: EngineBatch, layout: str, spec: str, topk: int) -> None:
    module, hooks = hooked(layout, spec, topk)
    rows = [
        *selected(decode(module, layout, batch, topk)),
        *selected(prefill(module, layout, batch, topk)),
    ]
    assert rows == batch.expected(serving(spec, topk).indexer, topk)
    facts = hooks.attestation.facts()
    assert facts["prefill"] == {"calls": 1, "rows": 334}
    assert facts["decode"] == {"calls": 1, "rows": 3}
    assert facts["indexer"].startswith(spec.partition(":")[0])


def test_the_choice_is_not_flat(batch: EngineBatch) -> None:
    """Guards the tests above: with these sizes, HISA and flat DSA differ."""
    spec, topk = INDEXERS[1]
    flat = batch.expected(serving("dsa", topk).indexer, topk)
    hisa = batch.expected(serving(spec, topk).indexer, topk)
    assert sum(one != other for one, other in zip(flat, hisa, strict=True)) > 100


def test_speculative_rows_see_their_own_lengths() -> None:
    spec, topk, n = "hisa:block_size=32,num_blocks=4", 64, 2
    batch = EngineBatch((Request(500, n), Request(63, n), Request(256, n)), (Request(0, 1),), seed=1)
    module, _ = hooked("compressed", spec, topk)
    rows = selected(decode(module, "compressed", batch, topk, n))
    assert rows == batch.expected(serving(spec, topk).indexer, topk)[: 3 * n]


def test_a_padded_row_is_harmless_and_not_counted() -> None:
    """Batches of CUDA graphs are filled up with rows of length 0."""
    spec, topk = "hisa:block_size=32,num_blocks=4", 64
    batch = EngineBatch((Request(500, 1), Request(300, 1)), (Request(0, 1),), seed=2)
    module, hooks = hooked("compressed", spec, topk)
    lengths = torch.tensor([[501], [0]], dtype=torch.int32)
    q, pages = batch.q[:2].unsqueeze(1), batch.pages.unsqueeze(2)
    logits = module.fp8_fp4_paged_mqa_logits(
        (q, None), pages, batch.weights[:2], lengths, batch.table[:2], None, max_model_len=832
    )
    indices = torch.full((2, topk), -1, dtype=torch.int32)
    module.get_indexer_topk("auto")(logits, lengths, 1, indices, topk, 0)
    assert selected(indices)[0] == batch.expected(serving(spec, topk).indexer, topk)[0]
    assert hooks.attestation.facts()["decode"] == {"calls": 1, "rows": 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scaled": True}, "serve on Hopper"),
        ({"indices": torch.zeros(2, dtype=torch.int32)}, "varlen"),
    ],
)
def test_inputs_of_other_hardware_are_refused(change: dict[str, Any], words: str) -> None:
    batch = EngineBatch((Request(70, 1), Request(80, 1)), (Request(0, 1),))
    module, _ = hooked("compressed", "hisa:block_size=32,num_blocks=4", 64)
    scale = torch.ones(2, 1, 4) if change.pop("scaled", False) else None
    lengths = torch.tensor([[71], [81]], dtype=torch.int32)
    with pytest.raises(RuntimeError, match=words):
        module.fp8_fp4_paged_mqa_logits(
            (batch.q[:2].unsqueeze(1), scale),
            batch.pages.unsqueeze(2),
            batch.weights[:2],
            lengths,
            batch.table[:2],
            None,
            128,
            **change,
        )


def test_another_budget_and_spread_keys_are_refused() -> None:
    module, _ = hooked("packed", "hisa:block_size=32,num_blocks=4", 64)
    logits, indices = torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.int32)
    with pytest.raises(RuntimeError, match="HISA_EVAL_TOPK=128"):
        module._merge_dcp_topk_global(logits, indices, 128, 0, 1, 1)
    with pytest.raises(RuntimeError, match="decode-context-parallel"):
        module._merge_dcp_topk_global(logits, indices, 64, 0, 2, 1)


def test_unknown_signatures_are_refused() -> None:
    module = engine("packed")
    module.fp8_fp4_mqa_logits = compressed_logits
    with pytest.raises(UserError, match=r"vLLM 0\.99 is not one that hisa-eval knows"):
        layout_of(module, "0.99")
