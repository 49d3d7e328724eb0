"""A decode step equals the last row of prefill, whatever the layout of its keys."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_examples import DIVISIBLE
from torch import Tensor

import hisa_kernels
from hisa_kernels.decode import FlatDecoder, HisaDecoder, PagedKeys, SequenceKeys, paged

FP8 = torch.float8_e4m3fn
BATCH, CAPACITY, HEADS, DIM = 5, 448, 8, 32
LENGTHS = [0, 1, 77, 300, 448]
SETTINGS: list[dict[str, Any]] = [
    {"block_size": 16, "num_blocks": 4},
    {"block_size": 16, "num_blocks": 6, "pooling": "max", "forced": "first_last2"},
    {"block_size": 64, "num_blocks": 2, "forced": "none"},
    {"block_size": 64, "num_blocks": 1, "forced": "first_last"},
    {"block_size": 128, "num_blocks": 2, "forced": "first"},
    {"block_size": 8, "num_blocks": 60},
]


class Step:
    """One decode step's inputs, as matrices of f32-exact small numbers or of random ones."""

    def __init__(self, device: torch.device, dtype: torch.dtype = FP8, whole: bool = True, seed: int = 0):
        make = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            if whole:
                return torch.randint(-2, 3, shape, generator=make).float()
            return torch.randn(shape, generator=make)

        self.q = draw(BATCH, HEADS, DIM).to(dtype).to(device)
        self.k = draw(BATCH, CAPACITY, DIM).to(dtype).to(device)
        self.weights = draw(BATCH, HEADS).to(device)
        scale = torch.full((BATCH, CAPACITY), float(DIVISIBLE))
        if not whole:
            scale = torch.rand((BATCH, CAPACITY), generator=make) + 0.5
        self.scale = scale.to(device) if dtype == FP8 else None
        self.lengths = torch.tensor(LENGTHS, dtype=torch.int32, device=device)
        self.table = torch.randperm(BATCH * CAPACITY // 64 + 9, generator=make).int()[
            : BATCH * CAPACITY // 64
        ]
        self.table = self.table.view(BATCH, -1).to(device)

    def keys(self, in_pages: bool = False) -> SequenceKeys | PagedKeys:
        """The keys in either layout."""
        if not in_pages:
            return SequenceKeys(self.k, self.scale)
        assert self.scale is not None
        return paged(self.k, self.scale, self.table, BATCH * CAPACITY // 64 + 9)

    def prefill(self, select: Any, *args: Any, **settings: Any) -> Tensor:
        """The last row of prefill over each sequence, by the reference."""
        rows = []
        for row, length in enumerate(LENGTHS):
            end = torch.tensor([length], dtype=torch.int32, device=self.q.device)
            scale = None if self.scale is None else self.scale[row, :length]
            one = (
                self.q[row : row + 1],
                self.k[row, :length],
                self.weights[row : row + 1],
                end - length,
                end,
            )
            rows.append(select(*one, *args, k_scale=scale, backend="reference", **settings))
        return torch.cat(rows)


def backend(device: torch.device) -> str:
    """The kernels where they can run."""
    return "tilelang" if device.type == "cuda" else "auto"


def agree(got: Tensor, want: Tensor, exact: bool) -> bool:
    """Whether two choices are the same; where kernels round otherwise, whether they hardly differ."""
    if exact or got.device.type == "cpu":
        return torch.equal(got, want)
    rows = zip(got.tolist(), want.tolist(), strict=True)
    shared = [len({*a} & {*b}) / len({*a} | {*b}) for a, b in rows]
    return min(shared) > 0.9


LAYOUTS = [(FP8, True), (FP8, False), (torch.bfloat16, False)]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("dtype", "in_pages"), LAYOUTS)
def test_flat_step_is_the_last_row_of_prefill(
    device: torch.device, dtype: torch.dtype, in_pages: bool, whole: bool
) -> None:
    step = Step(device, dtype, whole)
    for topk in (1, 64, 500):
        decoder = FlatDecoder(BATCH, CAPACITY, topk, device=device, backend=backend(device))
        got = decoder.select(step.q, step.keys(in_pages), step.weights, step.lengths)
        assert agree(got, step.prefill(hisa_kernels.select_flat, topk), whole)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("dtype", "in_pages"), LAYOUTS)
def test_hisa_step_is_the_last_row_of_prefill(
    device: torch.device, dtype: torch.dtype, in_pages: bool, settings: dict[str, Any]
) -> None:
    topk = 48 if settings["num_blocks"] > 1 else 9
    for whole in (True, False):
        step = Step(device, dtype, whole)
        decoder = HisaDecoder(
            BATCH,
            CAPACITY,
            DIM,
            48 if settings["num_blocks"] > 1 else 9,
            device=device,
            backend=backend(device),
            **settings,
        )
        decoder.update(step.keys(in_pages), step.lengths, CAPACITY)
        got = decoder.select(step.q, step.keys(in_pages), step.weights, step.lengths).clone()
        assert agree(got, step.prefill(hisa_kernels.select_hisa, topk, **settings), whole)
        pooled = decoder.pooled.clone()
        for row, length in enumerate(LENGTHS):
            if length:
                decoder.pooled[row, (length - 1) // settings["block_size"]] = 1e9
        stepped = decoder.step(step.q, step.keys(in_pages), step.weights, step.lengths)
        assert torch.equal(stepped, got)
        assert torch.equal(decoder.pooled, pooled)


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("block_size", [8, 64, 128, 256])
@pytest.mark.parametrize(("dtype", "in_pages"), LAYOUTS)
def test_pool_grows_token_by_token_to_the_same_bits(
    device: torch.device, dtype: torch.dtype, in_pages: bool, block_size: int, pooling: str
) -> None:
    step = Step(device, dtype, whole=False)
    keys = step.keys(in_pages)
    decoder = HisaDecoder(
        BATCH,
        CAPACITY,
        DIM,
        1,
        block_size=block_size,
        num_blocks=1,
        pooling=pooling,
        device=device,
        backend=backend(device),
    )
    decoder.update(keys, (step.lengths - 70).clamp(min=0), CAPACITY)
    decoder.update(keys, (step.lengths - 20).clamp(min=0), 50)
    for left in range(19, -1, -1):
        decoder.update(keys, (step.lengths - left).clamp(min=0))
    for row, length in enumerate(LENGTHS):
        scale = None if step.scale is None else step.scale[row, :length]
        want = hisa_kernels.pool_keys(
            step.k[row, :length], block_size, pooling=pooling, k_scale=scale, backend="reference"
        )
        assert torch.equal(decoder.pooled[row, : len(want)], want)
        assert not decoder.pooled[row, len(want) :].any()


def test_pages_hold_keys_first_and_scales_behind() -> None:
    step = Step(torch.device("cpu"), whole=False)
    keys = step.keys(in_pages=True)
    assert isinstance(keys, PagedKeys)
    assert step.scale is not None
    page = keys.pages[int(step.table[3, 2])].flatten()
    assert page.shape == (64 * (DIM + 4),)
    assert torch.equal(page[: 64 * DIM].view(FP8).float(), step.k[3, 128:192].flatten().float())
    assert torch.equal(page[64 * DIM :].view(torch.float32), step.scale[3, 128:192])
    k, scale = keys.sequence(3, 300)
    assert torch.equal(k.float(), step.k[3, :300].float())
    assert scale is not None
    assert torch.equal(scale, step.scale[3, :300])


def test_what_lies_behind_a_sequence_has_no_say(device: torch.device) -> None:
    clean, dirty = Step(device, whole=False), Step(device, whole=False)
    assert dirty.scale is not None
    for row, length in enumerate(LENGTHS):
        dirty.k.view(torch.uint8)[row, length:] = 0x7F
        dirty.scale[row, length:] = torch.nan
    settings: dict[str, Any] = {
        "block_size": 16,
        "num_blocks": 4,
        "device": device,
        "backend": backend(device),
    }
    chosen = []
    for step in (clean, dirty):
        decoder = HisaDecoder(BATCH, CAPACITY, DIM, 48, **settings)
        for in_pages in (True, False):
            keys = step.keys(in_pages)
            decoder.update(keys, step.lengths, CAPACITY)
            chosen.append(decoder.select(step.q, keys, step.weights, step.lengths).clone())
            flat = FlatDecoder(BATCH, CAPACITY, 48, device=device, backend=backend(device))
            flat.select(step.q, keys, step.weights, step.lengths)
    assert all(torch.equal(chosen[0], other) for other in chosen[1:])


def test_what_cannot_be_is_refused() -> None:
    step = Step(torch.device("cpu"))
    keys = step.keys()
    flat = FlatDecoder(BATCH, CAPACITY, 8, device="cpu")
    with pytest.raises(ValueError, match="q is"):
        flat.select(step.q.float(), keys, step.weights, step.lengths)
    with pytest.raises(ValueError, match="lengths"):
        flat.select(step.q, keys, step.weights, step.lengths.long())
    with pytest.raises(ValueError, match="weights"):
        flat.select(step.q, keys, step.weights[:, 1:], step.lengths)
    with pytest.raises(ValueError, match="448 tokens"):
        FlatDecoder(BATCH, 400, 8, device="cpu").select(step.q, keys, step.weights, step.lengths)
    with pytest.raises(ValueError, match="5 sequences"):
        FlatDecoder(4, CAPACITY, 8, device="cpu").select(step.q, keys, step.weights, step.lengths)
    with pytest.raises(ValueError, match="k_scale"):
        SequenceKeys(step.k)
    with pytest.raises(ValueError, match="fewer than topk"):
        HisaDecoder(1, 64, DIM, 65, block_size=8, num_blocks=8, device="cpu")
    with pytest.raises(ValueError, match="pages"):
        PagedKeys(torch.zeros((2, 32, 132), dtype=torch.uint8), torch.zeros((1, 2), dtype=torch.int32))
    with pytest.raises(RuntimeError, match="CUDA"):
        FlatDecoder(BATCH, CAPACITY, 8, device="cpu", backend="tilelang").select(
            step.q, keys, step.weights, step.lengths
        )


@pytest.mark.gpu
def test_one_cuda_graph_serves_all_lengths() -> None:
    device = torch.device("cuda")
    step = Step(device, whole=False)
    settings: dict[str, Any] = {"block_size": 16, "num_blocks": 4, "device": device, "backend": "tilelang"}
    for in_pages in (True, False):
        keys = step.keys(in_pages)
        flat = FlatDecoder(BATCH, CAPACITY, 48, device=device, backend="tilelang")
        hisa = HisaDecoder(BATCH, CAPACITY, DIM, 48, **settings)
        hisa.update(keys, step.lengths, CAPACITY)
        lengths = step.lengths.clone()

        def run(
            keys: SequenceKeys | PagedKeys = keys,
            flat: FlatDecoder = flat,
            hisa: HisaDecoder = hisa,
            lengths: Tensor = lengths,
        ) -> list[Tensor]:
            return [part(step.q, keys, step.weights, lengths) for part in (flat.select, hisa.step)]

        run()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            chosen = run()
        for lower in (1, 9, 100):
            lengths.copy_((step.lengths - lower).clamp(min=0))
            graph.replay()
            replayed = [part.clone() for part in chosen]
            assert all(torch.equal(a, b) for a, b in zip(replayed, run(), strict=True))
