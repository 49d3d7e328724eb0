"""A batch as a serving engine has it: sequences in shuffled pages, decode rows first, then prefill chunks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hisa_eval.indexers.base import Indexer
from hisa_kernels.decode_keys import PAGE_TOKENS, paged

HEADS, DIM = 4, 128
FP8 = torch.float8_e4m3fn


@dataclass(frozen=True)
class Request:
    """One sequence: tokens that are in the cache already, and tokens of this step."""

    cached: int
    new: int

    @property
    def length(self) -> int:
        """Tokens after this step."""
        return self.cached + self.new


DECODES = (Request(300, 1), Request(31, 1), Request(640, 1))
PREFILLS = (Request(0, 203), Request(700, 130), Request(0, 1))
"""A fresh prompt, a second chunk behind 700 cached tokens, a prompt of one token."""


class EngineBatch:
    """Tensors of one step of one layer.

    Args:
        decodes: Requests whose rows come first.
        prefills: Requests behind them.
        seed: Of all numbers.
    """

    def __init__(
        self,
        decodes: tuple[Request, ...] = DECODES,
        prefills: tuple[Request, ...] = PREFILLS,
        seed: int = 0,
    ) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.decodes, self.prefills = decodes, prefills
        requests = (*decodes, *prefills)
        rows, longest = sum(one.new for one in requests), max(one.length for one in requests)
        self.q = torch.randn(rows, HEADS, DIM, generator=draw).to(FP8)
        self.weights = torch.randn(rows, HEADS, generator=draw)
        self.k = torch.randn(len(requests), longest, DIM, generator=draw).to(FP8)
        self.scale = 0.5 + torch.rand(len(requests), longest, generator=draw)
        most = -(-longest // PAGE_TOKENS)
        n_pages = len(requests) * most + 7
        table = torch.randperm(n_pages, generator=draw)[: len(requests) * most].view(-1, most)
        made = paged(self.k, self.scale, table.to(torch.int32), n_pages)
        for number, request in enumerate(requests):
            # What lies behind a sequence's end is another's rubbish, and no page is named for it.
            keys, scales = made.views()
            last = -(-request.length // PAGE_TOKENS)
            for place in range(request.length, last * PAGE_TOKENS):
                page = int(made.table[number, place // PAGE_TOKENS])
                keys.view(torch.uint8)[page, place % PAGE_TOKENS] = 0x7F
                scales[page, place % PAGE_TOKENS] = torch.nan
            made.table[number, last:] = 0
        self.pages, self.table = made.pages, made.table

    def own_rows(self) -> list[tuple[int, slice, Request]]:
        """Number, rows and request of every sequence."""
        found, first = [], 0
        for number, request in enumerate((*self.decodes, *self.prefills)):
            found.append((number, slice(first, first + request.new), request))
            first += request.new
        return found

    def expected(self, indexer: Indexer, topk: int) -> list[list[int]]:
        """What the indexer itself selects for every row, by place in the row's sequence."""
        chosen: list[list[int]] = []
        for number, rows, request in self.own_rows():
            ends = torch.arange(request.cached + 1, request.length + 1, dtype=torch.int32)
            found = indexer.select(
                self.q[rows],
                self.k[number, : request.length],
                self.weights[rows],
                torch.zeros_like(ends),
                ends,
                topk,
                k_scale=self.scale[number, : request.length].contiguous(),
            )
            chosen += [[place for place in row if place >= 0] for row in found.tolist()]
        return chosen

    def packed_keys(self) -> tuple[Tensor, Tensor]:
        """Keys and scales of the prefill requests, one behind the other."""
        first = len(self.decodes)
        parts = [(number, request.length) for number, _, request in self.own_rows()[first:]]
        k = torch.cat([self.k[number, :length].view(torch.uint8) for number, length in parts]).view(FP8)
        return k, torch.cat([self.scale[number, :length] for number, length in parts])

    def packed_bounds(self) -> tuple[Tensor, Tensor]:
        """First key and one past the last key of every prefill row among the packed keys."""
        starts, ends, first = [], [], 0
        for request in self.prefills:
            starts += [first] * request.new
            ends += [first + request.cached + 1 + row for row in range(request.new)]
            first += request.length
        return torch.tensor(starts, dtype=torch.int32), torch.tensor(ends, dtype=torch.int32)


def selected(indices: Tensor) -> list[list[int]]:
    """Rows of chosen places, ascending, without empty ones."""
    return [sorted(place for place in row if place >= 0) for row in indices.tolist()]
