"""Slow torch stand-ins for TileLang kernels, with the kernels' own arguments: adapters can run without a GPU.

`install` puts them in place of the kernels; the adapters around them stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hisa_kernels.options import FORCED
from hisa_kernels.reference import block_scores as reference_blocks
from hisa_kernels.reference import pool_keys as reference_pool
from hisa_kernels.reference import select_flat as reference_flat
from hisa_kernels.rows import Rows
from hisa_kernels.tilelang import (
    block_choice,
    candidate_blocks,
    candidate_scores,
    select_block_sparse,
    select_blocks,
    select_hisa,
)

SLACK = 32
"""Entries behind the list of pairs that the scoring kernel may read."""


def count_pairs(p: Any, blocks: Any, starts: Any, sequence: Any, counts: Any, rank: Any, bits: int) -> None:
    assert not counts.any()
    for row, slot in (blocks >= 0).nonzero().tolist():
        bucket = int(starts[row]) // p["block_size"] + int(blocks[row, slot])
        bucket += int(sequence[row]) if p["packed"] else 0
        rank[row, slot] = counts[row >> bits, bucket]
        counts[row >> bits, bucket] += 1


def place_pairs(p: Any, counts: Any, pairs: Any, tiles: Any) -> None:
    at, group = 0, p["group"]
    for i, count in enumerate(counts.tolist()):
        counts[i] = at
        full = -(-count // group) * group
        pairs[at + count : at + full] = torch.tensor([0, -1, 0, 0], dtype=torch.int32)
        at += full
    tiles[0] = at // group


def write_pairs(
    p: Any,
    blocks: Any,
    starts: Any,
    ends: Any,
    sequence: Any,
    places: Any,
    rank: Any,
    pairs: Any,
    out: Any,
    bits: int,
) -> None:
    size, width = p["block_size"], blocks.shape[1]
    for row in range(len(blocks)):
        for slot in range(width):
            block, start = int(blocks[row, slot]), int(starts[row])
            if block < 0:
                out[row, slot * size : (slot + 1) * size] = -torch.inf
                continue
            bucket = start // size + block + (int(sequence[row]) if p["packed"] else 0)
            key = start + block * size
            entry = [row, row * width + slot, int(ends[row]) - key, key]
            at = int(places[row >> bits, bucket]) + int(rank[row, slot])
            pairs[at] = torch.tensor(entry, dtype=torch.int32)


def _scores(q: Tensor, weights: Tensor, k: Tensor, scale: Tensor | None) -> Tensor:
    found = (weights[:, None] * (q.float() @ k.float().T).relu()).sum(0)
    return found if scale is None else found * scale


def score_list(
    p: Any, q: Any, k: Any, weights: Any, scale: Any, pairs: Any, tiles: Any, out: Any, workers: int
) -> None:
    size, group = p["block_size"], candidate_blocks.tile_queries(p["heads"], p["block_size"])
    assert q.shape[1:] == (p["heads"], p["dim"])
    assert workers > 0
    used = int(tiles[0]) * group
    assert len(pairs) >= used + SLACK
    for tile in pairs[:used].view(-1, group, 4).tolist():
        for row, pair, seen, key in tile:
            if pair >= 0:
                assert key == tile[0][3]
                end = min(key + size, len(k), key + max(seen, 0))
                out[pair] = -torch.inf
                own = scale[key:end] if p["scaled"] else None
                out[pair, : end - key] = _scores(q[row], weights[row], k[key:end], own)


def score_rows(
    p: Any,
    q: Any,
    k: Any,
    weights: Any,
    scale: Any,
    starts: Any,
    ends: Any,
    blocks: Any,
    out: Any,
    share: int,
) -> None:
    assert share > 0
    size = p["block_size"]
    out.fill_(-torch.inf)
    for row, slot in (blocks >= 0).nonzero().tolist():
        key = int(starts[row]) + int(blocks[row, slot]) * size
        end = min(key + size, int(ends[row]))
        own = scale[key:end] if p["scaled"] else None
        out[row, slot * size : slot * size + end - key] = _scores(q[row], weights[row], k[key:end], own)


def count_blocks(p: Any, starts: Any, ends: Any, n_blocks: Any, zeros: Any, cleared: Any) -> None:
    n_blocks.copy_((ends - starts + p["block_size"] - 1) // p["block_size"])
    zeros.zero_()
    cleared.zero_()


def add_forced(p: Any, chosen: Any, n_blocks: Any, out: Any) -> None:
    out.fill_(-1)
    for row, seen in enumerate(n_blocks.tolist()):
        forced = {b for b in (0, seen - 1, seen - 2)[: p["kinds"]] if 0 <= b < seen}
        found = sorted({b for b in chosen[row].tolist() if b >= 0} | forced)
        out[row, : len(found)] = torch.tensor(found, dtype=torch.int32)


def spread_tokens(p: Any, blocks: Any, starts: Any, ends: Any, out: Any) -> None:
    offset = torch.arange(p["block_size"], dtype=torch.int32)
    token = starts[:, None, None] + blocks[:, :, None] * p["block_size"] + offset
    token[(blocks < 0)[:, :, None] | (token >= ends[:, None, None])] = -1
    out.copy_(token.view(out.shape))


def block_scores(
    q: Any, pooled: Any, weights: Any, starts: Any, ends: Any, size: int, *, forced: str = "none", out: Any
) -> Tensor:
    assert bool((starts == starts[0]).all())
    n = len(pooled)
    wide = torch.nn.functional.pad(pooled, (0, q.shape[2] - pooled.shape[1]))
    own = out[:, :n].zero_()
    for head in range(q.shape[1]):
        own.addcmul_((q[:, head].float() @ wide.T).relu_(), weights[:, head, None])
    at, seen = torch.arange(n), ((ends - starts + size - 1) // size)[:, None]
    for place in (torch.zeros_like(seen), seen - 1, seen - 2)[: FORCED[forced]]:
        own.masked_fill_(at == place, torch.inf)
    return own.masked_fill_(at >= seen, -torch.inf)


def partial_scores(
    q: Any,
    k: Any,
    weights: Any,
    starts: Any,
    ends: Any,
    size: int,
    out: Any,
    *,
    pooling: str = "mean",
    k_scale: Any = None,
) -> None:
    rows = Rows(starts.numpy().astype("int64"), ends.numpy().astype("int64"), q.device)
    pooled = reference_blocks.PooledBatch(k, k_scale, rows, size, pooling)
    pooled._score_partial(q, weights, rows, rows.blocks(size), out)


def pool_range(k: Any, size: int, out: Any, *, pooling: str = "mean", k_scale: Any = None) -> Tensor:
    return out.copy_(reference_pool.pool_keys(k, size, pooling=pooling, k_scale=k_scale))


def _top(scores: Tensor, ends: Tensor, k: int, wanted: Tensor | None) -> list[list[int]]:
    limits = [k] * len(scores) if wanted is None else wanted.clamp(max=k).tolist()
    rows = []
    for values, end, limit in zip(scores.tolist(), ends.tolist(), limits, strict=True):
        there = [i for i in range(end) if values[i] > -torch.inf]
        rows.append(sorted(sorted(there, key=lambda i: (-values[i], i))[:limit]))
    return rows


def _packed(rows: list[list[int]], k: int, out: Any) -> Tensor:
    out = torch.empty((len(rows), k), dtype=torch.int32) if out is None else out
    assert out.is_contiguous()
    out.fill_(-1)
    for own, found in zip(out, rows, strict=True):
        own[: len(found)] = torch.tensor(found, dtype=torch.int32)
    return out


def top_columns(
    scores: Any, starts: Any, ends: Any, k: int, *, wanted: Any = None, out: Any = None
) -> Tensor:
    assert not starts.any()
    return _packed(_top(scores, ends, k, wanted), k, out)


def top_tokens(scores: Any, blocks: Any, starts: Any, size: int, k: int, *, out: Any = None) -> Tensor:
    assert not torch.isnan(scores).any()
    found = _top(scores, torch.full((len(scores),), scores.shape[1]), k, None)
    tokens = [
        [start + own[c // size] * size + c % size for c in columns]
        for start, own, columns in zip(starts.tolist(), blocks.tolist(), found, strict=True)
    ]
    return _packed(tokens, k, out)


def _family(stand_in: Callable[..., None]) -> Callable[..., Callable[..., None]]:
    return lambda **parameters: lambda *args: stand_in(parameters, *args)


def install(patch: pytest.MonkeyPatch) -> None:
    """Puts the stand-ins in place of the kernels of HISA's adapters."""
    for module, names in (
        (
            candidate_scores,
            {"count_pairs": count_pairs, "place_pairs": place_pairs, "write_pairs": write_pairs},
        ),
        (candidate_scores, {"candidate_blocks": score_list, "candidate_rows": score_rows}),
        (select_blocks, {"count_blocks": count_blocks, "add_forced": add_forced}),
        (select_block_sparse, {"spread_tokens": spread_tokens}),
        (block_choice, {"add_forced": add_forced}),
    ):
        for name, stand_in in names.items():
            patch.setattr(module, name, _family(stand_in))
    patch.setattr(candidate_scores, "multiprocessors", lambda device: 132)
    for stand_in in (block_scores, partial_scores, pool_range, top_columns):
        patch.setattr(select_blocks, stand_in.__name__, stand_in)
    patch.setattr(select_hisa, "pool_range", pool_range)
    patch.setattr(select_hisa, "top_tokens", top_tokens)
    patch.setattr(select_hisa, "select_flat", reference_flat.select_flat)
