"""The further variants: each against its own definition, and where options make it another one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hisa_eval.errors import UserError
from hisa_eval.fidelity.frame import Frame
from hisa_eval.fidelity.measure import choose
from hisa_eval.fidelity.synthetic import make_frame
from hisa_eval.indexers.bounds import extremes, upper_bounds
from hisa_eval.indexers.conformance import laws
from hisa_eval.indexers.conformance.subject import Subject
from hisa_eval.indexers.hisa_exact import HisaExactIndexer
from hisa_eval.indexers.hisa_multi import soft_maximum
from hisa_eval.indexers.registry import parse

TOPK = 16
SPECS = [
    "hisa-multi:block_size=4,num_blocks=5,parts=2",
    "hisa-multi:block_size=4,num_blocks=5,pooling=bounds",
    "hisa-multi:block_size=4,num_blocks=5,pooling=lse",
    "hisa-overlap:block_size=4,num_blocks=5",
    "hisa-overlap:block_size=6,num_blocks=3,overlap=3",
    "hisa-adaptive:block_size=4,num_blocks=4,max_blocks=7,margin=0.5",
    "hisa-exact:block_size=4,num_blocks=5",
    "misa:heads=1,block_size=8",
    "misa:heads=1,block_size=8,candidates=24",
]


def frame(name: str = "topics", length: int = 900, heads: int = 4, seed: int = 0) -> Frame:
    return make_frame(name, length, rows=40, heads=heads, dim=16, seed=seed)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("fp8", [False, True])
def test_laws_hold_at_small_sizes(spec: str, fp8: bool) -> None:
    subject = Subject(parse(spec), 8 if "size=6" not in spec else 12)
    n = subject.pruned
    for seed in range(3):
        case = subject.case(
            [(n, (n, n - 3, n // 2)), (n, (n, 1, 0))], values="one-hot", fp8=fp8, gap=2, seed=seed
        )
        laws.law_matches_dsa(subject.indexer, case)
        laws.law_row_alone(subject.indexer, case, range(6))
        laws.law_placement(subject.indexer, case, range(6))
        laws.law_unseen_keys(subject.indexer, case, range(6), seed=seed)
        laws.law_repeatable(subject.indexer, case)


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        ("hisa-multi:block_size=32,num_blocks=6,parts=1", "hisa:block_size=32,num_blocks=6"),
        ("hisa-overlap:block_size=32,num_blocks=6,overlap=1", "hisa:block_size=32,num_blocks=6"),
        ("hisa-adaptive:block_size=32,num_blocks=6,margin=0", "hisa:block_size=32,num_blocks=6"),
        (
            "hisa-adaptive:block_size=32,num_blocks=4,max_blocks=6,margin=1e6",
            "hisa:block_size=32,num_blocks=6",
        ),
        ("hisa-exact:block_size=32,num_blocks=6", "dsa"),
        ("misa:heads=4", "dsa"),
        ("misa:heads=2,candidates=900", "dsa"),
    ],
)
def test_options_that_make_one_variant_another(spec: str, same: str) -> None:
    own = frame()
    assert torch.equal(choose(own, parse(spec), TOPK), choose(own, parse(same), TOPK))


def test_a_part_a_token_ranks_blocks_by_their_best_token() -> None:
    own = frame("spikes")
    chosen = choose(own, parse("hisa-multi:block_size=16,num_blocks=4,parts=16"), TOPK)
    row = len(own.q) - 1
    scores = torch.relu(own.k @ own.q[row].T) @ own.weights[row]
    end = int(own.ends[row])
    best = torch.stack([scores[i : i + 16].max() for i in range(0, end // 16 * 16, 16)])
    best[0] = torch.inf
    last = (end - 1) // 16
    kept = set(best[:last].topk(3).indices.tolist()) | {last}
    tokens = [i for i in range(end) if i // 16 in kept]
    wanted = sorted(tokens[j] for j in scores[tokens].topk(TOPK).indices.tolist())
    assert [i for i in chosen[row].tolist() if i >= 0] == wanted


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([1, 3, 8]))
def test_a_bound_is_never_below_a_token_score(seed: int, heads: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, weights = torch.randn((5, heads, 8), generator=generator), torch.randn((5, heads), generator=generator)
    keys = torch.randn((6, 4, 8), generator=generator)
    dots = torch.relu(torch.einsum("rhd,cbd->rhcb", q.double(), keys.double()))
    best = torch.einsum("rhcb,rh->rcb", dots, weights.double()).amax(2)
    bounds = upper_bounds(q, weights, extremes(keys))
    assert bool((bounds >= best - 1e-4).all())
    one = upper_bounds(q, weights, extremes(keys[:, :1]))
    exact = torch.einsum("rhc,rh->rc", dots[..., 0], weights.double())
    torch.testing.assert_close(one.double(), exact, atol=1e-4, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(["gaussian", "local", "topics", "spikes"]))
def test_the_rescue_is_exact_and_counts_what_it_certified(seed: int, name: str) -> None:
    own = frame(name, seed=seed)
    indexer = parse("hisa-exact:block_size=4,num_blocks=8")
    assert isinstance(indexer, HisaExactIndexer)
    assert torch.equal(choose(own, indexer, TOPK), choose(own, parse("dsa"), TOPK))
    counts = indexer.take_certificates()
    assert counts["pruned"] == int((own.ends > 32).sum())
    assert 0 <= counts["certified"] <= counts["pruned"]
    assert indexer.take_certificates() == {"pruned": 0, "certified": 0}


def test_blocks_of_equal_keys_are_certified() -> None:
    own = frame("gaussian", length=256)
    own.k.copy_(own.k[::8].repeat_interleave(8, 0))
    indexer = parse("hisa-exact:block_size=8,num_blocks=6")
    assert isinstance(indexer, HisaExactIndexer)
    choose(own, indexer, TOPK)
    counts = indexer.take_certificates()
    assert counts["certified"] > counts["pruned"] / 2


def test_a_soft_maximum_lies_between_mean_and_maximum() -> None:
    keys = torch.randn((7, 16, 8), generator=torch.Generator().manual_seed(0))
    pooled = soft_maximum(keys)
    assert bool((pooled > keys.mean(1)).all())
    assert bool((pooled < keys.amax(1)).all())
    torch.testing.assert_close(soft_maximum(keys[:, :1].expand(-1, 16, -1).contiguous()), keys[:, 0])


def test_overlap_finds_what_a_border_cuts_in_two() -> None:
    own = frame("gaussian", length=512, heads=1)
    last = len(own.q) - 1
    own.weights.abs_()
    target = torch.nn.functional.normalize(own.q[last, 0], dim=0)
    own.k.mul_(0.3)
    own.k[160 - 8 : 160 + 8] += 3 * target  # half in block 9, half in block 10 of 16
    own.k[240:252] += 3.2 * target
    for start in (64, 96, 128):
        own.k[start : start + 9] += 3 * target
    cut = choose(own, parse("hisa:block_size=16,num_blocks=6"), TOPK)[last].tolist()
    whole = choose(own, parse("hisa-overlap:block_size=16,num_blocks=6"), TOPK)[last].tolist()
    wanted = set(range(152, 168))
    assert len(wanted & set(whole)) > len(wanted & set(cut))


def test_misa_scores_with_the_heads_of_most_energy() -> None:
    own, size = frame("topics", length=400, heads=4), 64
    chosen = choose(own, parse(f"misa:heads=2,block_size={size}"), TOPK)
    for row, end in enumerate(own.ends.tolist()):
        pooled = torch.stack([own.k[at : min(at + size, end)].mean(0) for at in range(0, end, size)])
        energy = (own.weights[row] * torch.relu(pooled @ own.q[row].T)).abs().mean(0)
        heads = energy.sort(descending=True, stable=True).indices[:2]
        scores = torch.relu(own.k[:end] @ own.q[row, heads].T) @ own.weights[row, heads]
        wanted = scores.sort(descending=True, stable=True).indices[:TOPK].sort().values.tolist()
        assert [i for i in chosen[row].tolist() if i >= 0] == wanted


def test_two_stages_recall_more_than_one() -> None:
    own = frame("topics", heads=8)
    flat = choose(own, parse("dsa"), 64)

    def common(spec: str) -> int:
        chosen = choose(own, parse(spec), 64)
        pairs = zip(chosen.tolist(), flat.tolist(), strict=True)
        return sum(len(set(a) & set(b) - {-1}) for a, b in pairs)

    assert common("misa:heads=2,candidates=128") > common("misa:heads=2")


@pytest.mark.parametrize(
    ("spec", "cost"),
    [
        ("dsa", 10_000),
        ("hisa", 79 + 64 * 128),
        ("hisa:ratio=4", 79 + 20 * 128),
        ("hisa:num_blocks=16,forced_in_budget=false", 79 + 18 * 128),
        ("hisa:num_blocks=100", 10_000),
        ("block-sparse", 79),
        ("hisa-multi", 4 * 79 + 64 * 128),
        ("hisa-overlap", 157 + 128 * 64),
        ("hisa-adaptive", 79 + 10_000),
        ("hisa-exact", 5 * 79 + 64 * 128 + 10_000),
        ("misa", 10_000 * 8 / 64 + 10),
        ("misa:candidates=8192", 10_000 * 8 / 64 + 10 + 8192),
        ("misa:heads=64", 10_000),
        ("step-reuse", (10_000 + 3 * (2048 + 64)) / 4),
        ("step-reuse:every=2,newest=9000,over=hisa", (79 + 64 * 128 + 10_000) / 2),
        ("step-reuse:every=1,over=misa", 10_000 * 8 / 64 + 10),
        ("index-cache", None),
    ],
)
def test_what_a_query_is_scored_against_is_counted(spec: str, cost: float) -> None:
    assert parse(spec).scored_keys(10_000, 2048, 64) == cost


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("hisa-multi:block_size=4,num_blocks=3", "cannot|fewer than k = 16"),
        ("hisa-multi:block_size=10,parts=4", "do not divide"),
        ("hisa-overlap:block_size=9,overlap=2", "does not divide"),
        ("misa:candidates=8", "cannot fill k = 16"),
    ],
)
def test_budgets_that_cannot_work_are_refused(spec: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose(frame(), parse(spec), TOPK)


def test_a_cap_below_the_least_is_refused() -> None:
    with pytest.raises(UserError, match="max_blocks"):
        parse("hisa-adaptive:num_blocks=9,max_blocks=8")
