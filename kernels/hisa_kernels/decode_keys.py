"""Where a decode step's keys lie: in a matrix of each sequence's own, or in pages that a table names."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hisa_kernels.checks import FP8, SCORING_DTYPES, check_device, check_extent, check_tensor

PAGE_TOKENS = 64
"""Tokens of a page."""

SCALE_BYTES = 4
"""Bytes that a token's scale adds to its entry."""


@dataclass(frozen=True)
class SequenceKeys:
    """Keys of each sequence in a matrix of its own.

    Attributes:
        k: Keys `[batch, T, D]` f32, bf16 or FP8 e4m3; what lies at and behind a sequence's length has no say.
        k_scale: Per-token scale `[batch, T]` f32 of FP8 keys.

    Raises:
        ValueError: shapes, dtypes or devices disagree.
    """

    k: Tensor
    k_scale: Tensor | None = None

    def __post_init__(self) -> None:
        check_tensor("k", self.k, "batch T D", SCORING_DTYPES)
        if (self.k_scale is None) != (self.k.dtype != FP8):
            raise ValueError(
                "k_scale belongs to float8_e4m3fn keys, and these to k_scale: pass both or neither"
            )
        if self.k_scale is not None:
            check_tensor("k_scale", self.k_scale, "batch T", (torch.float32,))
            check_extent("k_scale", self.k_scale, 0, self.k.shape[0], "k")
            check_extent("k_scale", self.k_scale, 1, self.k.shape[1], "k")
            check_device("k_scale", self.k_scale, self.k, "k")

    @property
    def batch(self) -> int:
        """Sequences."""
        return self.k.shape[0]

    @property
    def capacity(self) -> int:
        """Tokens that a sequence has room for."""
        return self.k.shape[1]

    @property
    def dim(self) -> int:
        """Head dimension D."""
        return self.k.shape[2]

    @property
    def dtype(self) -> torch.dtype:
        """Element type of the keys."""
        return self.k.dtype

    @property
    def device(self) -> torch.device:
        """Where the keys lie."""
        return self.k.device

    def sequence(self, row: int, length: int) -> tuple[Tensor, Tensor | None]:
        """The keys `[length, D]` and scales `[length]` of one sequence."""
        return self.k[row, :length], None if self.k_scale is None else self.k_scale[row, :length]


@dataclass(frozen=True)
class PagedKeys:
    """FP8 keys in pages of 64 tokens, as vLLM's and SGLang's indexer caches lay them out.

    Attributes:
        pages: Pages `[P, 64, D + 4]` uint8. The shape counts bytes a token, but a page holds the 64 keys
            first (64·D bytes of e4m3) and their 64 f32 scales behind them.
        table: Pages of each sequence in order `[batch, most pages]` int32; entries behind a sequence's length
            have no say.

    Raises:
        ValueError: shapes, dtypes or devices disagree.

    Source: `indexer_k_quant_and_cache` of vLLM (csrc/cache_kernels.cu), which writes this layout for
        DeepGEMM's `fp8_paged_mqa_logits`; SGLang's index cache is the same.
    """

    pages: Tensor
    table: Tensor

    def __post_init__(self) -> None:
        check_tensor("pages", self.pages, "P 64 D+4", (torch.uint8,))
        check_tensor("table", self.table, "batch pages", (torch.int32,))
        check_device("table", self.table, self.pages, "pages")
        if self.pages.shape[1] != PAGE_TOKENS or self.dim < 1 or self.dim % 4:
            raise ValueError(
                f"pages have shape {list(self.pages.shape)}: "
                f"pass [P, {PAGE_TOKENS}, D + {SCALE_BYTES}], D a multiple of 4"
            )
        if self.pages.shape[0] > 1 and not self.pages[0].is_contiguous():
            raise ValueError("pages are strided within a page: pass contiguous ones")

    @property
    def batch(self) -> int:
        """Sequences."""
        return self.table.shape[0]

    @property
    def capacity(self) -> int:
        """Tokens that a sequence has room for."""
        return self.table.shape[1] * PAGE_TOKENS

    @property
    def dim(self) -> int:
        """Head dimension D."""
        return self.pages.shape[2] - SCALE_BYTES

    @property
    def dtype(self) -> torch.dtype:
        """Element type of the keys."""
        return FP8

    @property
    def device(self) -> torch.device:
        """Where the keys lie."""
        return self.pages.device

    def views(self) -> tuple[Tensor, Tensor]:
        """Keys `[P, 64, D]` e4m3 and scales `[P, 64]` f32 of all pages, without a copy."""
        n, stride, first = self.pages.shape[0], self.pages.stride(0), self.pages.storage_offset()
        k = self.pages.view(FP8).as_strided((n, PAGE_TOKENS, self.dim), (stride, self.dim, 1), first)
        scale = self.pages.view(torch.float32).as_strided(
            (n, PAGE_TOKENS), (stride // 4, 1), first // 4 + PAGE_TOKENS * self.dim // 4
        )
        return k, scale

    def sequence(self, row: int, length: int) -> tuple[Tensor, Tensor | None]:
        """The keys `[length, D]` and scales `[length]` of one sequence."""
        own = self.table[row, : -(-length // PAGE_TOKENS)].long()
        k, scale = self.views()
        gathered = k.view(torch.uint8).index_select(0, own).view(FP8)
        return gathered.flatten(0, 1)[:length], scale.index_select(0, own).flatten()[:length]


DecodeKeys = SequenceKeys | PagedKeys


def paged(k: Tensor, k_scale: Tensor, table: Tensor, n_pages: int) -> PagedKeys:
    """Keys of each sequence put into pages.

    Args:
        k: Keys `[batch, T, D]` FP8 e4m3.
        k_scale: Their scales `[batch, T]` f32.
        table: Pages of each sequence `[batch, ⌈T/64⌉]` int32, all different.
        n_pages: Pages to make.
    """
    batch, tokens, dim = k.shape
    whole = table.shape[1] * PAGE_TOKENS
    pages = torch.zeros((n_pages, PAGE_TOKENS, dim + SCALE_BYTES), dtype=torch.uint8, device=k.device)
    made = PagedKeys(pages, table)
    keys, scales = made.views()
    values = torch.zeros((batch, whole, dim), dtype=torch.uint8, device=k.device)
    values[:, :tokens] = k.view(torch.uint8)
    factors = torch.zeros((batch, whole), dtype=torch.float32, device=k.device)
    factors[:, :tokens] = k_scale
    own = table.flatten().long()
    keys.view(torch.uint8)[own] = values.view(-1, PAGE_TOKENS, dim)
    scales[own] = factors.view(-1, PAGE_TOKENS)
    return made
