"""What hierarchical variants share: rank a sequence's blocks, keep some, choose the best k tokens in them.

The variants differ in how a block is scored. The first and the last visible block are always kept, in the
budget: the newest block may be visible in part only, and being kept it needs no score, so that no later key
has a say. Everything is computed with the public operators, a tile of rows at a time.
"""

from __future__ import annotations

from abc import abstractmethod
from math import ceil
from typing import TYPE_CHECKING

from pydantic import Field

from hisa_eval.indexers.configured import ConfiguredIndexer, InfeasibleBudgetError
from hisa_eval.indexers.options import Options

if TYPE_CHECKING:
    from torch import Tensor

    from hisa_eval.indexers.base import IndexerState

TILE_BYTES = 64 << 20
PINNED = 2


class RankedOptions(Options):
    """Options of a block ranking."""

    block_size: int = Field(default=128, ge=1, description="Keys in a block (B).")
    num_blocks: int = Field(
        default=64,
        ge=PINNED,
        description="Candidate blocks kept for each query (m), the first and the last among them; m * B must "
        "reach k.",
    )


class RankedBlocksIndexer(ConfiguredIndexer):
    """An indexer that ranks blocks and chooses tokens in the best ones."""

    options: RankedOptions

    @property
    def cell(self) -> int:
        """Tokens of the unit that is kept or dropped; a block, unless blocks overlap."""
        return self.options.block_size

    @property
    def budget(self) -> int:
        """Cells kept for a query, at the least."""
        return self.options.num_blocks * self.options.block_size // self.cell

    @property
    def most(self) -> int:
        """Cells kept for a query, at the most."""
        return self.budget

    @property
    def vectors(self) -> int:
        """Vectors that stand for a cell."""
        return 1

    def scored_keys(self, visible: int, topk: int, heads: int) -> float | None:
        """What stands for the cells, and the tokens of the most that are kept."""
        kept = self.most * self.cell
        if self.budget * self.cell >= visible:
            return float(visible)
        return float(self.vectors * ceil(visible / self.cell) + min(kept, visible))

    def exact_below(self, topk: int) -> int:
        """m * B: a row that sees no more keys than the candidates hold loses none of them."""
        return self.budget * self.cell

    def check_budget(self, topk: int) -> None:
        """Refuse options whose candidates cannot fill `topk`, before anything is loaded.

        Raises:
            InfeasibleBudgetError: m * B < k.
        """
        super().check_budget(topk)
        held = self.budget * self.cell
        if held < topk:
            size = self.options.block_size
            raise InfeasibleBudgetError(
                f"{self.name}: {self.options.num_blocks} blocks of {size} hold {held} candidates, fewer than "
                f"k = {topk}",
                f"raise num_blocks to at least {ceil(topk / size)}",
            )

    def least_selected(self, visible: int, topk: int) -> int:
        """Fewest keys that a row may get: m cells, the newest of them visible in part only.

        Args:
            visible: Keys that the row sees.
            topk: Token budget k.
        """
        seen = ceil(visible / self.cell)
        newest = visible - (seen - 1) * self.cell
        return min(topk, visible if seen <= self.budget else (self.budget - 1) * self.cell + newest)

    def select(
        self,
        q: Tensor,
        k: Tensor,
        weights: Tensor,
        starts: Tensor,
        ends: Tensor,
        topk: int,
        *,
        k_scale: Tensor | None = None,
        state: IndexerState | None = None,
    ) -> Tensor:
        """The best k tokens of each row's best blocks; see `hisa_eval.indexers.base.Indexer.select`."""
        from hisa_eval.indexers.validate import validate_inputs
        from hisa_kernels import select_flat

        self.check_budget(topk)
        validate_inputs(q, k, weights, starts, ends, topk, k_scale=k_scale)
        pruned = ends - starts > self.budget * self.cell
        if not bool(pruned.any()):
            return select_flat(q, k, weights, starts, ends, topk, k_scale=k_scale)
        out = q.new_empty((len(q), topk), dtype=starts.dtype)
        flat = (~pruned).nonzero()[:, 0]
        if len(flat):
            rows = take_rows(flat, q, weights, starts, ends)
            out[flat] = select_flat(rows[0], k, rows[1], rows[2], rows[3], topk, k_scale=k_scale)
        for start in starts[pruned].unique().tolist():
            own = (pruned & (starts == start)).nonzero()[:, 0]
            q_own, w_own, _, e_own = take_rows(own, q, weights, starts, ends)
            last = int(e_own.max())
            scale = None if k_scale is None else k_scale[start:last]
            found = self._select_sequence(q_own, k[start:last], w_own, e_own - start, topk, scale)
            out[own] = found.masked_fill_(found < 0, -1 - start).add_(start)
        return out

    @abstractmethod
    def represent(self, keys: Tensor) -> Tensor:
        """What stands for the complete cells of a sequence.

        Args:
            keys: `[C, B, D]` f32, the keys of C complete cells.
        """

    @abstractmethod
    def score(self, q: Tensor, weights: Tensor, representatives: Tensor, complete: Tensor) -> Tensor:
        """Scores of complete cells `[r, C]` f32, higher is better.

        Args:
            q: Queries `[r, H, D]`.
            weights: Gates `[r, H]` f32.
            representatives: From `represent`.
            complete: Cells that each row sees whole `[r]`; scores of others are not looked at, but must not
                enter those of these.
        """

    def keep(self, scores: Tensor, n_cells: Tensor) -> Tensor:
        """The cells kept of each row, ascending `[r, W]` int32, −1 at the end; ties go to the lower cell.

        Args:
            scores: `[r, C]` f32, the largest number at cells that are always kept, −inf behind the last one.
            n_cells: Cells that each row sees `[r]` int32.
        """
        import torch

        from hisa_kernels import topk_indices

        return topk_indices(scores, torch.zeros_like(n_cells), n_cells, self.budget)

    def _select_sequence(
        self, q: Tensor, k: Tensor, weights: Tensor, ends: Tensor, topk: int, k_scale: Tensor | None
    ) -> Tensor:
        import torch

        representatives = self.represent(_cells(k, k_scale, self.cell))
        n_cells = ceil(len(k) / self.cell)
        step = max(1, TILE_BYTES // (4 * max(4 * n_cells, self.most * self.cell)))
        parts = []
        for at in range(0, len(q), step):
            rows = q[at : at + step], weights[at : at + step], ends[at : at + step]
            parts.append(
                self._select_rows(rows[0], k, rows[1], rows[2], representatives, n_cells, topk, k_scale)
            )
        return torch.cat(parts)

    def _select_rows(
        self,
        q: Tensor,
        k: Tensor,
        weights: Tensor,
        ends: Tensor,
        representatives: Tensor,
        n_cells: int,
        topk: int,
        k_scale: Tensor | None,
    ) -> Tensor:
        blocks = self._blocks(q, weights, ends, representatives, n_cells)
        return self._tokens(q, k, weights, ends, blocks, topk, k_scale)

    def _blocks(
        self, q: Tensor, weights: Tensor, ends: Tensor, representatives: Tensor, n_cells: int
    ) -> Tensor:
        import torch

        seen = (ends + self.cell - 1) // self.cell
        scores = torch.full((len(q), n_cells), -torch.inf, device=q.device)
        own = self.score(q, weights, representatives, ends // self.cell)
        scores[:, : own.shape[1]] = own
        cell = torch.arange(n_cells, dtype=seen.dtype, device=q.device)
        scores.masked_fill_(cell >= seen[:, None], -torch.inf)
        scores.masked_fill_((cell == 0) | (cell == seen[:, None] - 1), torch.finfo(torch.float32).max)
        return self.keep(scores, seen)

    def _tokens(
        self,
        q: Tensor,
        k: Tensor,
        weights: Tensor,
        ends: Tensor,
        blocks: Tensor,
        topk: int,
        k_scale: Tensor | None,
    ) -> Tensor:
        """The best k tokens of chosen cells `[r, topk]` int32, −1 at the end."""
        import torch

        from hisa_kernels import candidate_scores, topk_indices

        starts = torch.zeros_like(ends)
        scores = candidate_scores(q, k, weights, starts, ends, blocks, self.cell, k_scale=k_scale)
        width = torch.full_like(ends, scores.shape[1])
        columns = topk_indices(scores, starts, width, topk)
        place = columns.clamp(min=0).long()
        tokens = blocks.gather(1, place // self.cell) * self.cell + (place % self.cell).int()
        return tokens.masked_fill_(columns < 0, -1)


def take_rows(index: Tensor, *tensors: Tensor) -> list[Tensor]:
    """Some rows of tensors, FP8 ones too."""
    import torch

    fp8 = torch.float8_e4m3fn
    return [t.view(torch.uint8)[index].view(fp8) if t.dtype == fp8 else t[index] for t in tensors]


def _cells(k: Tensor, k_scale: Tensor | None, size: int) -> Tensor:
    """Complete cells of a sequence's keys `[C, size, D]` f32."""
    whole = len(k) // size * size
    keys = k[:whole].float()
    if k_scale is not None:
        keys = keys * k_scale[:whole, None]
    return keys.view(-1, size, k.shape[1])


def run_scores(q: Tensor, weights: Tensor, keys: Tensor) -> Tensor:
    """Index scores of queries against vectors that every one of them sees.

    Args:
        q: `[r, H, D]`.
        weights: `[r, H]` f32.
        keys: `[C, D]` f32.

    Returns:
        `[r, C]` f32.
    """
    import torch

    from hisa_kernels import index_scores

    starts = torch.zeros(len(q), dtype=torch.int32, device=q.device)
    return index_scores(q.float(), keys.contiguous(), weights, starts, torch.full_like(starts, len(keys)))


def means(keys: Tensor) -> Tensor:
    """Means over the tokens of cells `[C, B, D]`, `[C, D]`; the operator's own, so that their bits are."""
    from hisa_kernels import pool_keys

    return pool_keys(keys.reshape(-1, keys.shape[2]), keys.shape[1])
