"""Figures of a selection against sets and sums written out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from hisa_eval.fidelity.frame import Frame, spread_rows
from hisa_eval.fidelity.measure import DISTANCES, choose, measure, selected_scores
from hisa_eval.fidelity.noise import noise_floor
from hisa_eval.fidelity.precision import at_precision
from hisa_eval.fidelity.synthetic import DISTRIBUTIONS, make_frame
from hisa_eval.indexers.registry import parse

TOPK = 8


def frame(length: int = 700, rows: int = 5, seed: int = 3) -> Frame:
    made = make_frame("spikes", length, rows=rows, heads=3, dim=8, seed=seed)
    attention = torch.rand((len(made.ends), length), generator=torch.Generator().manual_seed(seed))
    attention.masked_fill_(torch.arange(length) >= made.ends[:, None], 0.0)
    weights = made.weights * torch.where(torch.arange(3) == 0, -1.0, 1.0)
    return Frame(
        0,
        made.q,
        made.k,
        weights,
        made.ends,
        attention / attention.sum(1, keepdim=True),
        evidence=made.evidence,
    )


def score(own: Frame, row: int, key: int) -> float:
    dots = torch.relu(own.q[row] @ own.k[key])
    return float(dots @ own.weights[row])


def test_every_figure_equals_its_definition() -> None:
    own = frame()
    flat = choose(own, parse("dsa"), TOPK)
    other = choose(own, parse("hisa:block_size=16,num_blocks=4"), TOPK)
    found = measure(own, other, flat, selected_scores(own, flat))
    kept = dict.fromkeys(DISTANCES, 0)
    wanted = dict.fromkeys(DISTANCES, 0)
    for row, (mine, theirs) in enumerate(zip(other.tolist(), flat.tolist(), strict=True)):
        a, b = {i for i in mine if i >= 0}, {i for i in theirs if i >= 0}
        best = max(sorted(b), key=lambda key, row=row: score(own, row, key))
        mass = sum(max(0.0, score(own, row, key)) for key in a)
        due = sum(max(0.0, score(own, row, key)) for key in b)
        assert found["iou"][row] == pytest.approx(len(a & b) / len(a | b), abs=1.1e-5)
        assert found["recall"][row] == pytest.approx(len(a & b) / len(b), abs=1.1e-5)
        assert found["mass"][row] == pytest.approx(mass / due, abs=2e-5)
        assert found["top1"][row] == (best in a)
        assert found["attention"][row] == pytest.approx(float(own.attention[row, list(a)].sum()), abs=2e-5)
        if row < len(other) - 1:
            for key in b:
                distance = int(own.ends[row]) - 1 - key
                place = max(edge for edge in DISTANCES if edge <= distance)
                wanted[place] += 1
                kept[place] += key in a
    assert found["kept"] == list(kept.values())
    assert found["wanted"] == list(wanted.values())
    evidence = set(own.evidence)
    assert found["evidence"] == pytest.approx(len(evidence & a) / len(evidence), abs=1e-5)
    assert found["evidence_of_flat"] == pytest.approx(len(evidence & b) / len(evidence), abs=1e-5)
    assert 0 < sum(kept.values()) < sum(wanted.values())


def test_flat_dsa_keeps_all_of_itself() -> None:
    own = frame()
    flat = choose(own, parse("dsa"), TOPK)
    found = measure(own, flat, flat, selected_scores(own, flat))
    for name in ("iou", "recall", "mass", "top1"):
        assert found[name] == [1.0] * len(flat)
    assert found["kept"] == found["wanted"]


def test_a_row_whose_scores_are_all_negative_has_no_mass() -> None:
    own = frame()
    own.weights.copy_(-own.weights.abs())
    flat = choose(own, parse("dsa"), TOPK)
    assert set(measure(own, flat, flat, selected_scores(own, flat))["mass"]) == {None}


def test_the_first_of_equal_best_scores_counts() -> None:
    own = frame()
    own.k.copy_(own.k[:1].expand_as(own.k))
    own.weights.abs_()
    flat = choose(own, parse("dsa"), TOPK)
    without_first = flat.clone()
    without_first[:, :-1], without_first[:, -1] = flat[:, 1:], -1
    scores = selected_scores(own, flat)
    assert set(measure(own, without_first, flat, scores)["top1"]) == {0.0}


def test_rounding_moves_little_and_fp8_more_than_bf16() -> None:
    own = make_frame("gaussian", 2000, rows=20, heads=8, dim=32, seed=0)
    dsa = parse("dsa")
    chosen = choose(own, dsa, 128)
    floor = noise_floor(own, dsa, 128, chosen, ("f32", "bf16", "fp8"))
    means = {name: sum(values) / len(values) for name, values in floor.items()}
    assert 0.7 < means["fp8"] < means["bf16"] < 1
    assert means["f32"] > 0.999
    with pytest.raises(ValueError, match="fp4"):
        at_precision(own, "fp4")


def test_f32_tells_ties_that_the_order_of_sums_decides() -> None:
    own = make_frame("gaussian", 2000, rows=20, heads=8, dim=32, seed=0)
    # Keys of one direction and nearly one length: their scores differ by less than f32 resolves.
    own.k.copy_(own.k[:1] * (1 + 1e-8 * torch.arange(2000)[:, None].flip(0)))
    own.k.add_(1e-7 * torch.randn(own.k.shape, generator=torch.Generator().manual_seed(0)))
    dsa = parse("dsa")
    floor = noise_floor(own, dsa, 128, choose(own, dsa, 128), ("f32",))
    assert sum(floor["f32"]) / len(floor["f32"]) < 0.99


def test_fp8_scores_are_those_of_the_rounded_inputs() -> None:
    own = make_frame("gaussian", 64, rows=3, heads=2, dim=16, seed=1)
    rounded = at_precision(own, "fp8")
    key = rounded.k.float() * rounded.k_scale[:, None]
    assert float((key - own.k).abs().max() / own.k.abs().max()) < 2**-4
    dots = torch.relu(torch.einsum("rhd,nd->rhn", rounded.q.float(), key))
    scores = torch.einsum("rhn,rh->rn", dots, rounded.weights)
    exact = torch.einsum("rhn,rh->rn", torch.relu(torch.einsum("rhd,nd->rhn", own.q, own.k)), own.weights)
    assert float((scores - exact).abs().max() / exact.abs().max()) < 2**-3


def test_rows_are_spread_seeded_and_end_with_the_last() -> None:
    rows = spread_rows(1000, 10, 0)
    assert rows == spread_rows(1000, 10, 0) != spread_rows(1000, 10, 1)
    assert rows[-1] == 999
    assert rows == sorted(set(rows))
    assert all(100 * place <= row < 100 * (place + 1) for place, row in enumerate(rows[:9]))
    assert spread_rows(4, 10, 0) == [0, 1, 2, 3]
    assert spread_rows(1, 1, 0) == [0]


def test_a_row_behind_the_context_takes_no_other_rows_place() -> None:
    for seed in range(40):
        plain, behind = spread_rows(30, 10, seed), spread_rows(30, 10, seed, 31)
        assert behind[-1] == 31
        # The context's own last row is one like any other: it stands there where it was drawn.
        assert [row for row in behind[:-1] if row != 29] == plain[:-1]
        assert len(behind) == 11
    assert any(29 in spread_rows(30, 10, seed, 31) for seed in range(40))
    assert spread_rows(4, 10, 0, 4) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions_are_seeded_and_scaled(name: str) -> None:
    made = make_frame(name, 3000, rows=4, heads=2, dim=16, seed=5)
    again = make_frame(name, 3000, rows=4, heads=2, dim=16, seed=5)
    other = make_frame(name, 3000, rows=4, heads=2, dim=16, seed=6)
    assert torch.equal(made.k, again.k)
    assert not torch.equal(made.k, other.k)
    assert 0.5 < float(made.k.std()) < 2
    assert bool(made.evidence) == (name == "spikes")


def test_drift_makes_neighbours_alike_and_noise_does_not() -> None:
    def likeness(name: str) -> float:
        k = make_frame(name, 4000, rows=1, heads=1, dim=32, seed=0).k
        return float(torch.nn.functional.cosine_similarity(k[:-16], k[16:], dim=1).mean())

    assert abs(likeness("gaussian")) < 0.02
    assert likeness("local") == pytest.approx(0.98**16, abs=0.05)
    assert likeness("topics") > 0.5
    assert math.isclose(likeness("topics"), likeness("topics"))
