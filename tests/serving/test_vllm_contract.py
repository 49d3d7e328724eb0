"""The plug-in in an installed vLLM, on a CPU: its own loader, its own indexer, compiled kernels stood in for.

Four kernels have no CPU build: gathering keys from pages, the two logits, the top-k. They are given plain
PyTorch ones, below all of vLLM's Python; everything above runs as it is installed. Run with `-m vllm`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from engine_batch import FP8, EngineBatch, Request, selected
from engine_kernels import compressed_logits, packed_logits, paged_logits, topk_rows

from hisa_eval.serving import plugin
from hisa_eval.serving.settings import ATTEST, INDEXER, TOPK, serving
from hisa_eval.serving.signatures import DECODE, PREFILL
from hisa_kernels.decode_keys import PagedKeys

pytestmark = pytest.mark.vllm
pytest.importorskip("vllm")

LAYER = "model.layers.0.self_attn.indexer.k_cache"
QUERY_CHUNK = 90
"""Rows of a prefill chunk, so that chunks cut sequences."""

CASES = [
    ("dsa", 64),
    ("hisa:block_size=32,num_blocks=6", 64),
    ("hisa:block_size=64,num_blocks=4,pooling=max,forced=first", 64),
    ("hisa:block_size=24,num_blocks=3", 70),
    ("block-sparse:block_size=16", 96),
]
BATCHES = {
    "mixed": EngineBatch(),
    "decode": EngineBatch((Request(511, 1), Request(512, 1), Request(64, 1)), (), seed=3),
    "prefill": EngineBatch((), (Request(0, 400), Request(333, 150)), seed=4),
    "drafted": EngineBatch((Request(500, 2), Request(63, 2)), (Request(100, 260),), seed=5),
}


def _gather(pages: torch.Tensor, k: torch.Tensor, scale: torch.Tensor, table: torch.Tensor, cu: Any) -> None:
    keys, bounds = PagedKeys(pages, table), cu.tolist()
    for number, (first, last) in enumerate(itertools.pairwise(bounds)):
        own, own_scale = keys.sequence(number, last - first)
        assert own_scale is not None
        k[first:last].view(torch.uint8).copy_(own.view(torch.uint8))
        scale[first:last].copy_(own_scale.contiguous().view(torch.uint8).view(-1, 4))


def _topk_prefill(logits, starts, ends, indices, num_rows, stride0, stride1, topk):  # type: ignore[no-untyped-def]
    assert num_rows == len(logits)
    topk_rows(logits, starts.tolist(), ends.tolist(), indices, topk)


def _topk_decode(logits, n, lengths, indices, num_rows, stride0, stride1, topk):  # type: ignore[no-untyped-def]
    assert num_rows == len(logits) == lengths.numel()
    topk_rows(logits, [0] * num_rows, lengths.flatten().tolist(), indices, topk)


@pytest.fixture(params=CASES, ids=[spec for spec, _ in CASES])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int, Any]]:
    """vLLM's indexer module after vLLM's own loader has run, with stand-ins for compiled kernels."""
    import vllm._custom_ops as ops
    import vllm.model_executor.layers.sparse_attn_indexer as module
    import vllm.plugins
    import vllm.utils.deep_gemm as deep_gemm
    from vllm.v1.worker import workspace

    spec, topk = request.param
    if serving(spec, topk).may_fall_short and not hasattr(module, "get_indexer_topk"):
        pytest.skip("refused before vLLM had a decode top-k of its own: see the test of that")
    names = (PREFILL, DECODE, "sparse_attn_indexer_fake", "_merge_dcp_topk_global", "get_indexer_topk")
    for name in names:
        if hasattr(module, name):
            monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setenv(INDEXER, spec)
    monkeypatch.setenv(TOPK, str(topk))
    monkeypatch.delenv(ATTEST, raising=False)
    monkeypatch.setattr(plugin, "_installed", None)
    monkeypatch.setattr(vllm.plugins, "plugins_loaded", False)
    vllm.plugins.load_general_plugins()
    told = plugin.attestation()
    assert told is not None, "vLLM did not find the plug-in: install hisa-eval into its environment"
    packed = told["prefill_logits"] == "packed"
    prefill = packed_logits if packed else compressed_logits
    monkeypatch.setattr(deep_gemm, "_fp8_fp4_mqa_logits_impl", prefill)
    monkeypatch.setattr(deep_gemm, "_fp8_fp4_paged_mqa_logits_impl", lambda *given, **_: paged_logits(*given))
    monkeypatch.setattr(ops, "cp_gather_indexer_k_quant_cache", _gather)
    monkeypatch.setattr(ops, "top_k_per_row_prefill", _topk_prefill)
    monkeypatch.setattr(ops, "top_k_per_row_decode", _topk_decode)
    monkeypatch.setattr(type(module.current_platform), "fp8_dtype", classmethod(lambda cls: FP8))
    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: None)
    workspace.init_workspace_manager(torch.device("cpu"))
    yield spec, topk, module
    workspace.reset_workspace_manager()


def metadata(batch: EngineBatch) -> Any:
    """What vLLM's metadata builder makes of a batch: decode rows, then chunks of prefill rows."""
    from vllm.v1.attention.backends.mla import indexer as backend

    sequences, drafted = len(batch.decodes), batch.decodes[0].new if batch.decodes else 1
    n_decode = sequences * drafted
    starts, ends = batch.packed_bounds()
    lengths = [one.length for one in batch.prefills]
    cumulated = torch.tensor([0, *torch.tensor(lengths, dtype=torch.int64).cumsum(0).tolist()]).int()
    chunks = []
    for first in range(0, len(starts), QUERY_CHUNK):
        own = slice(first, min(first + QUERY_CHUNK, len(starts)))
        given = {
            "block_table": batch.table[sequences:],
            "cu_seqlen_ks": starts[own],
            "cu_seqlen_ke": ends[own],
            "cu_seq_lens": cumulated,
            "token_to_seq": None,
            "total_seq_lens": sum(lengths),
            "max_seqlen_k": int((ends - starts)[own].max()),
            "token_start": n_decode + own.start,
            "token_end": n_decode + own.stop,
            "num_reqs": len(lengths),
            "skip_kv_gather": first > 0,
            "local_cu_seq_lens": cumulated,
            "local_total_seq_lens": sum(lengths),
            "max_local_total_seq_lens": sum(lengths),
        }
        kind = backend.DeepseekV32IndexerPrefillChunkMetadata
        known = {field.name for field in dataclasses.fields(kind)}
        chunks.append(kind(**{name: value for name, value in given.items() if name in known}))
    prefill = backend.DeepseekV32IndexerPrefillMetadata(chunks=chunks) if chunks else None
    back = torch.arange(1 - drafted, 1)
    seen = (torch.tensor([one.length for one in batch.decodes])[:, None] + back).int() if sequences else None
    decode = backend.DeepSeekV32IndexerDecodeMetadata(
        block_table=batch.table[:sequences],
        seq_lens=seen,
        decode_lens=torch.full((sequences,), drafted, dtype=torch.int32),
        requires_padding=False,
        schedule_metadata=None,
    )
    every = [one.length for one in (*batch.decodes, *batch.prefills)]
    return backend.DeepseekV32IndexerMetadata(
        seq_lens=torch.tensor(every, dtype=torch.int32),
        max_seq_len=max(every),
        slot_mapping=torch.zeros(len(batch.q), dtype=torch.int64),
        num_decodes=sequences,
        num_decode_tokens=n_decode,
        num_prefills=len(batch.prefills),
        num_prefill_tokens=len(starts),
        decode=decode if sequences else None,
        prefill=prefill,
    )


def step(module: Any, batch: EngineBatch, topk: int, meta: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One call of vLLM's indexer; without metadata it is the profiling run."""
    import inspect

    from vllm.config import CUDAGraphMode

    attended = None if meta is None else {LAYER: meta}
    context = SimpleNamespace(attn_metadata=attended, cudagraph_runtime_mode=CUDAGraphMode.NONE)
    monkeypatch.setattr(module, "get_forward_context", lambda: context)
    given = {
        "hidden_states": torch.zeros(len(batch.q), 8),
        "k_cache_prefix": LAYER,
        "kv_cache": batch.pages,
        "q_quant": batch.q,
        "q_scale": None,
        "k": None,
        "weights": batch.weights,
        "quant_block_size": 128,
        "scale_fmt": None,
        "topk_tokens": topk,
        "head_dim": batch.q.shape[2],
        "max_model_len": 64 * batch.table.shape[1],
        "total_seq_lens": 4096,
        "topk_indices_buffer": torch.full((len(batch.q), topk), -7, dtype=torch.int32),
        "skip_k_cache_insert": True,
        "use_pcp": False,
        "pcp_shard_decode_requests": False,
        "dense_mha_metadata_layer_name": "",
    }
    run = inspect.unwrap(module.sparse_attn_indexer)
    known = inspect.signature(run).parameters
    return run(**{name: value for name, value in given.items() if name in known})


@pytest.mark.parametrize("name", BATCHES)
def test_every_row_is_the_indexers(
    served: tuple[str, int, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, topk, module = served
    batch = BATCHES[name]
    found = step(module, batch, topk, metadata(batch), monkeypatch)
    assert selected(found) == batch.expected(serving(spec, topk).indexer, topk)
    told = plugin.attestation()
    assert told is not None
    drafted = batch.decodes[0].new if batch.decodes else 0
    assert told["decode"]["rows"] == len(batch.decodes) * drafted
    assert told["prefill"]["rows"] == sum(one.new for one in batch.prefills)
    assert told["device"] == "cpu"


def test_the_profiling_run_passes(served: tuple[str, int, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    _, topk, module = served
    found = step(module, BATCHES["decode"], topk, None, monkeypatch)
    assert found is not None
    with pytest.raises(RuntimeError, match=f"HISA_EVAL_TOPK={topk + 1}"):
        step(module, BATCHES["decode"], topk + 1, None, monkeypatch)
    told = plugin.attestation()
    assert told is not None
    assert told["decode"]["calls"] == told["prefill"]["calls"] == 0


def test_a_second_registration_changes_nothing(served: tuple[str, int, Any]) -> None:
    _, _, module = served
    before = getattr(module, PREFILL), getattr(module, DECODE)
    plugin.register()
    assert (getattr(module, PREFILL), getattr(module, DECODE)) == before


def test_unasked_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import vllm.model_executor.layers.sparse_attn_indexer as module
    import vllm.plugins
    import vllm.utils.deep_gemm as deep_gemm

    monkeypatch.delenv(INDEXER, raising=False)
    monkeypatch.setattr(plugin, "_installed", None)
    monkeypatch.setattr(vllm.plugins, "plugins_loaded", False)
    vllm.plugins.load_general_plugins()
    assert plugin.attestation() is None
    assert getattr(module, PREFILL) is getattr(deep_gemm, PREFILL)


def test_a_shortfall_that_cannot_be_mended_stops_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM 0.26 has no decode top-k that could be followed, so that other keys would fill a row up."""
    import vllm.model_executor.layers.sparse_attn_indexer as module
    import vllm.plugins

    from hisa_eval.errors import UserError

    monkeypatch.delattr(module, "get_indexer_topk", raising=False)
    monkeypatch.setenv(INDEXER, "block-sparse")
    monkeypatch.setenv(TOPK, "2048")
    monkeypatch.setattr(plugin, "_installed", None)
    monkeypatch.setattr(vllm.plugins, "plugins_loaded", False)
    with pytest.raises(UserError, match="fewer than k = 2048 candidates"):
        vllm.plugins.load_general_plugins()
    assert plugin.attestation() is None
