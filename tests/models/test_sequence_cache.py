"""Latents and rotated keys side by side: handed out as views, whichever way transformers appends them."""

from __future__ import annotations

import torch

from hisa_eval.models.transformers_dsa.cache import SequenceCache, side_by_side

RANK, ROPE = 6, 2


def states(length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    make = torch.Generator().manual_seed(seed)
    return (
        torch.randn(1, 1, length, RANK, generator=make),
        torch.randn(1, 1, length, ROPE, generator=make),
    )


def test_both_halves_come_back_as_one_tensor_without_a_copy() -> None:
    cache = SequenceCache(RANK)
    first, second = states(5, 0), states(3, 1)
    cache.update(*first, 0)
    latents, rotated = cache.update(*second, 0)
    assert torch.equal(latents, torch.cat((first[0], second[0]), 2))
    assert torch.equal(rotated, torch.cat((first[1], second[1]), 2))
    joined = side_by_side(latents, rotated)
    assert joined is not None
    assert joined.data_ptr() == latents.data_ptr()
    assert torch.equal(joined, torch.cat((latents, rotated), -1))


def test_a_concatenation_is_kept_as_it_comes() -> None:
    cache = SequenceCache(RANK)
    latents, rotated = states(4, 2)
    keys, values = cache.update(torch.cat((latents, rotated), -1), latents, 1)
    assert torch.equal(keys, torch.cat((latents, rotated), -1))
    assert torch.equal(values, latents)


def test_growth_and_truncation_keep_what_is_left() -> None:
    cache = SequenceCache(RANK)
    long, more = states(4096, 3), states(7, 4)
    cache.update(*long, 0)
    cache.truncate(100)
    assert cache.get_seq_length() == 100
    latents, rotated = cache.update(*more, 0)
    assert torch.equal(latents, torch.cat((long[0][:, :, :100], more[0]), 2))
    assert torch.equal(rotated, torch.cat((long[1][:, :, :100], more[1]), 2))


def test_strangers_are_not_taken_for_neighbours() -> None:
    latents, rotated = states(4, 5)
    assert side_by_side(latents, rotated) is None
    block = torch.arange(24.0).view(1, 1, 3, 8)
    assert side_by_side(block[..., :3], block[..., 4:]) is None
    flat = torch.arange(40.0)
    left, right = flat[:20].view(1, 1, 5, 4), flat[4:24].view(1, 1, 5, 4)
    assert side_by_side(left, right) is None  # rows that would overlap
