"""Operators written the slow and obvious way, in f64 and one row at a time, to hold the fast ones against.

`Oracle` has the operators' public names. Each known mistake is a subclass that changes one rule.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

FORCED = {"none": 0, "first": 1, "first_last": 2, "first_last2": 3}


def dequantised(k: Tensor, k_scale: Tensor | None) -> Tensor:
    """Keys in f64, as the f32 product of value and scale."""
    values = k.float().cpu()
    if k_scale is not None:
        values = values * k_scale.cpu()[:, None]
    return values.double()


class Oracle:
    """The rules, one method each."""

    def rectify(self, dots: Tensor) -> Tensor:
        return dots.clamp(min=0)

    def rank(self, scores: list[float]) -> list[int]:
        return sorted(range(len(scores)), key=lambda i: (-scores[i], i))

    def origin(self, start: int) -> int:
        return start

    def last(self, end: int, n_keys: int) -> int:
        return end

    def visible_part(self, lo: int, hi: int, end: int) -> int:
        return min(hi, end)

    def mean(self, keys: Tensor, block_size: int) -> Tensor:
        total = keys.sum(0)
        return (total.float() / torch.tensor(float(len(keys)))).double()

    def score(self, q: Tensor, weights: Tensor, keys: Tensor) -> Tensor:
        return (weights.double()[:, None] * self.rectify(q.double() @ keys.T)).sum(0)

    def pool(self, keys: Tensor, block_size: int, pooling: str) -> Tensor:
        return keys.amax(0) if pooling == "max" else self.mean(keys, block_size)

    def index_scores(self, q, k, weights, starts, ends, *, k_scale=None) -> Tensor:
        keys = dequantised(k, k_scale)
        out = torch.full((len(q), len(k)), -math.inf, dtype=torch.float64)
        for t, (lo, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            hi = self.last(end, len(k))
            out[t, lo:hi] = self.score(q[t].cpu().float(), weights[t].cpu(), keys[lo:hi])
        return out

    def topk_indices(self, scores, starts, ends, topk) -> Tensor:
        out = torch.full((len(scores), topk), -1, dtype=torch.int32)
        for t, (lo, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            hi = self.last(end, scores.shape[1])
            best = sorted(self.rank(scores[t, lo:hi].tolist())[:topk])
            out[t, : len(best)] = torch.tensor(best, dtype=torch.int32) + lo
        return out

    def select_flat(self, q, k, weights, starts, ends, topk, *, k_scale=None) -> Tensor:
        scores = self.index_scores(q, k, weights, starts, ends, k_scale=k_scale)
        return self.topk_indices(scores, starts, ends, topk)

    def pool_keys(self, k, block_size, *, pooling="mean", k_scale=None) -> Tensor:
        keys = dequantised(k, k_scale)
        parts = [self.pool(part, block_size, pooling) for part in keys.split(block_size)] if len(keys) else []
        return torch.stack(parts) if parts else torch.zeros(0, k.shape[1], dtype=torch.float64)

    def _row_block_scores(self, q, keys, weights, start, end, block_size, pooling) -> list[float]:
        found = []
        for lo in range(self.origin(start), end, block_size):
            stop = self.visible_part(lo, min(lo + block_size, len(keys)), end)
            pooled = self.pool(keys[lo:stop], block_size, pooling)
            found.append(float(self.score(q.float(), weights, pooled[None])[0]))
        return found

    def block_scores(
        self, q, k, weights, starts, ends, *, block_size, pooling="mean", k_scale=None, cache=None
    ) -> Tensor:
        keys = dequantised(k, k_scale)
        rows = [
            self._row_block_scores(q[t].cpu(), keys, weights[t].cpu(), lo, end, block_size, pooling)
            for t, (lo, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
        ]
        out = torch.full((len(q), max(map(len, rows), default=0)), -math.inf, dtype=torch.float64)
        for t, row in enumerate(rows):
            out[t, : len(row)] = torch.tensor(row, dtype=torch.float64)
        return out

    def share(self, n_blocks: int, ratio: float) -> int:
        return math.ceil(n_blocks / ratio)

    def forced(self, n_blocks: int, kinds: int) -> list[int]:
        places = (0, n_blocks - 1, n_blocks - 2)[:kinds]
        return list(dict.fromkeys(b for b in places if 0 <= b < n_blocks))

    def in_budget(self, asked: bool) -> bool:
        return asked

    def _choose(self, scores: list[float], o: dict[str, Any]) -> tuple[list[int], int]:
        m = o["num_blocks"]
        if o.get("ratio") is not None:
            m = max(self.share(len(scores), o["ratio"]), o.get("min_blocks", 1))
        kinds = FORCED[o.get("forced", "first_last")]
        forced = self.forced(len(scores), kinds)
        if o.get("block_score_dtype", "f32") == "bf16":
            scores = torch.tensor(scores).float().bfloat16().tolist()
        if self.in_budget(o.get("forced_in_budget", True)):
            first = forced[:m]
            rest = [b for b in self.rank(scores) if b not in first]
            return sorted(first + rest[: m - len(first)]), m
        return sorted(set(self.rank(scores)[:m]) | set(forced)), m + kinds

    def select_blocks(self, q, k, weights, starts, ends, *, k_scale=None, cache=None, **o) -> Tensor:
        keys = dequantised(k, k_scale)
        rows, widths = [], [o["num_blocks"] if o.get("ratio") is None else o.get("min_blocks", 1)]
        if not o.get("forced_in_budget", True):
            widths[0] += FORCED[o.get("forced", "first_last")]
        for t, (lo, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            scores = self._row_block_scores(
                q[t].cpu(), keys, weights[t].cpu(), lo, end, o["block_size"], o.get("pooling", "mean")
            )
            blocks, width = self._choose(scores, o)
            rows.append(blocks)
            widths.append(width)
        out = torch.full((len(q), max(widths)), -1, dtype=torch.int32)
        for t, row in enumerate(rows):
            out[t, : len(row)] = torch.tensor(row, dtype=torch.int32)
        return out

    def _tokens(self, start: int, end: int, blocks: list[int], block_size: int, n_keys: int) -> list[int]:
        at = [self.origin(start) + b * block_size + i for b in blocks if b >= 0 for i in range(block_size)]
        return [s for s in at if start <= s < self.last(end, n_keys)]

    def candidate_scores(self, q, k, weights, starts, ends, blocks, block_size, *, k_scale=None) -> Tensor:
        full = self.index_scores(q, k, weights, starts, ends, k_scale=k_scale)
        out = torch.full((len(q), blocks.shape[1] * block_size), -math.inf, dtype=torch.float64)
        for t in range(len(q)):
            for j, b in enumerate(blocks[t].tolist()):
                for i in range(block_size):
                    s = self.origin(int(starts[t])) + b * block_size + i
                    if b >= 0 and s < len(k):
                        out[t, j * block_size + i] = full[t, s]
        return out

    def select_hisa(self, q, k, weights, starts, ends, topk, *, k_scale=None, cache=None, **o) -> Tensor:
        o = {**o, "min_blocks": max(o.get("min_blocks", 1), math.ceil(topk / o["block_size"]))}
        blocks = self.select_blocks(q, k, weights, starts, ends, k_scale=k_scale, **o)
        scores = self.index_scores(q, k, weights, starts, ends, k_scale=k_scale)
        out = torch.full((len(q), topk), -1, dtype=torch.int32)
        for t, (lo, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            tokens = self._tokens(lo, end, blocks[t].tolist(), o["block_size"], len(k))
            best = self.rank([float(scores[t, s]) for s in tokens])[:topk]
            out[t, : len(best)] = torch.tensor(sorted(tokens[i] for i in best), dtype=torch.int32)
        return out

    def select_block_sparse(self, q, k, weights, starts, ends, *, k_scale=None, cache=None, **o) -> Tensor:
        blocks = self.select_blocks(q, k, weights, starts, ends, k_scale=k_scale, **o)
        out = torch.full((len(q), blocks.shape[1] * o["block_size"]), -1, dtype=torch.int32)
        for t, (lo, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            tokens = self._tokens(lo, end, blocks[t].tolist(), o["block_size"], len(k))
            out[t, : len(tokens)] = torch.tensor(tokens, dtype=torch.int32)
        return out

    def sparse_mla(self, q, kv, indices, *, scale, value_dim) -> Tensor:
        out = torch.zeros(q.shape[0], q.shape[1], value_dim, dtype=torch.float64)
        latents = kv.double().cpu()
        for t, row in enumerate(indices.tolist()):
            chosen = latents[[s for s in row if s >= 0]]
            if len(chosen):
                shares = torch.softmax(q[t].double().cpu() @ chosen.T * scale, -1)
                out[t] = shares @ chosen[:, :value_dim]
        return out


class TiesToHigher(Oracle):
    def rank(self, scores: list[float]) -> list[int]:
        return sorted(range(len(scores)), key=lambda i: (-scores[i], -i))


class NoRelu(Oracle):
    def rectify(self, dots: Tensor) -> Tensor:
        return dots


class EndInclusive(Oracle):
    def last(self, end: int, n_keys: int) -> int:
        return min(end + 1, n_keys)


class EndShort(Oracle):
    def last(self, end: int, n_keys: int) -> int:
        return max(end - 1, 0)


class TailOverBlockSize(Oracle):
    def mean(self, keys: Tensor, block_size: int) -> Tensor:
        return keys.sum(0) / block_size


class LeakyTail(Oracle):
    def visible_part(self, lo: int, hi: int, end: int) -> int:
        return hi


class BlocksFromZero(Oracle):
    def origin(self, start: int) -> int:
        return 0


class NoGates(Oracle):
    def score(self, q: Tensor, weights: Tensor, keys: Tensor) -> Tensor:
        return self.rectify(q.double() @ keys.T).sum(0)


class ForcedOnTop(Oracle):
    def in_budget(self, asked: bool) -> bool:
        return False


class LastBeforeFirst(Oracle):
    def forced(self, n_blocks: int, kinds: int) -> list[int]:
        return super().forced(n_blocks, kinds)[::-1]


class RatioRoundedDown(Oracle):
    def share(self, n_blocks: int, ratio: float) -> int:
        return max(1, math.floor(n_blocks / ratio))
