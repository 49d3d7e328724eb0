"""The operators of sparse-attention indexers: checked, dispatched by device, the same bits on every run.

Vocabulary: queries `q [M, H, D]`, keys `k [N, D]`, gates `weights [M, H]`; query t sees the keys
`starts[t] … ends[t] − 1`. Rows with one and the same start are one sequence of a packed batch, and its
blocks are counted from that start.
"""

from hisa_kernels.attention import sparse_mla
from hisa_kernels.blocks import block_scores, pool_keys, select_block_sparse, select_blocks
from hisa_kernels.flat import index_scores, select_flat, topk_indices
from hisa_kernels.hierarchical import candidate_scores, select_hisa
from hisa_kernels.pooled_cache import PooledKeyCache

__all__ = [
    "PooledKeyCache",
    "block_scores",
    "candidate_scores",
    "index_scores",
    "pool_keys",
    "select_block_sparse",
    "select_blocks",
    "select_flat",
    "select_hisa",
    "sparse_mla",
    "topk_indices",
]
