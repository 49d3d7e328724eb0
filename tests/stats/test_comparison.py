"""Two methods compared: by task, overall, with shared contexts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hisa_eval.stats.clusters import gather, standard_error
from hisa_eval.stats.comparison import Pair, compare, join
from hisa_eval.stats.detectable import smallest_detectable
from hisa_eval.stats.holm import holm
from hisa_eval.stats.resample import bootstrap_clusters


@pytest.mark.parametrize("n", [30, 200])
def test_bootstrap_standard_error_is_s_over_root_n(n: int) -> None:
    values = np.random.default_rng(4).uniform(-1, 1, size=n)
    expected = values.std(ddof=1) / math.sqrt(n)
    assert bootstrap_clusters([gather(values)], seed=2).standard_error == pytest.approx(expected, rel=0.05)
    assert standard_error([gather(values)]) == pytest.approx(expected, rel=1e-12)


def test_bootstrap_of_clusters_has_the_spread_between_clusters() -> None:
    rng = np.random.default_rng(8)
    names = [f"c{place}" for place in range(60) for _ in range(5)]
    values = np.repeat(rng.normal(size=60), 5) + 0.1 * rng.normal(size=300)
    parts = [gather(values, names)]
    by_cluster = values.reshape(60, 5).mean(axis=1)
    expected = by_cluster.std(ddof=1) / math.sqrt(60)
    assert standard_error(parts) == pytest.approx(expected, rel=1e-9)
    assert bootstrap_clusters(parts, seed=1).standard_error == pytest.approx(expected, rel=0.05)
    assert standard_error([gather(values)]) < 0.5 * expected


def test_several_tasks_weigh_the_same() -> None:
    rng = np.random.default_rng(9)
    large, small = rng.normal(size=400), rng.normal(size=40)
    expected = math.sqrt(large.var(ddof=1) / 400 + small.var(ddof=1) / 40) / 2
    parts = [gather(large), gather(small)]
    assert standard_error(parts) == pytest.approx(expected)
    assert bootstrap_clusters(parts, seed=3).standard_error == pytest.approx(expected, rel=0.05)


def test_a_comparison_by_hand() -> None:
    pairs = [Pair("qa", 0.5, 1.0), Pair("qa", 0.5, 0.5), Pair("code", 0.2, 0.1), Pair("code", 0.4, 0.4)]
    found = compare(pairs)
    qa, code = found.tasks
    assert (qa.task, qa.n_pairs, qa.mean_a, qa.mean_b, qa.mean) == ("qa", 2, 0.5, 0.75, 0.25)
    assert (qa.better, qa.worse, code.better, code.worse) == (1, 0, 0, 1)
    assert code.mean == pytest.approx(-0.05)
    assert (qa.p, qa.p_holm) == (1.0, 1.0)
    assert math.isnan(qa.low)
    overall = found.overall
    assert overall.mean == pytest.approx(0.1)
    assert overall.mean_b - overall.mean_a == pytest.approx(0.1)
    assert math.isnan(overall.p_holm)
    with pytest.raises(ValueError, match="nothing to compare"):
        compare([])


def test_a_true_difference_is_found_and_covered() -> None:
    rng = np.random.default_rng(5)
    pairs = []
    for task, shift in (("same", 0.0), ("worse", -0.15)):
        for _ in range(120):
            a = rng.uniform(0.3, 0.9)
            pairs.append(Pair(task, a, a + shift + 0.1 * rng.normal()))
    same, worse = compare(pairs, seed=1).tasks
    assert same.low < 0 < same.high
    assert same.p > 0.05
    assert worse.low < -0.15 < worse.high < 0
    assert worse.p == pytest.approx(1e-4, abs=2e-4)
    assert worse.p_holm == pytest.approx(2 * worse.p)
    assert worse.smallest < 0.15
    assert compare(pairs, seed=1) == compare(pairs, seed=1)
    assert compare(pairs, seed=1).tasks[0].low != compare(pairs, seed=2).tasks[0].low


def test_equal_methods_differ_by_nothing() -> None:
    found = compare([Pair("t", n / 30, n / 30) for n in range(30)]).overall
    assert (found.mean, found.p, found.smallest) == (0.0, 1.0, 0.0)
    assert math.isnan(found.low)


def test_questions_on_one_context_are_no_independent_evidence() -> None:
    rng = np.random.default_rng(12)
    naive = clustered = covered = 0
    trials = 120
    for trial in range(trials):
        context = np.repeat(rng.normal(size=20), 10)
        differences = context + 0.3 * rng.normal(size=200)
        alone = [Pair("t", 0.0, value) for value in differences]
        shared = [Pair("t", 0.0, value, cluster=place // 10) for place, value in enumerate(differences)]
        naive += compare(alone, seed=trial, n_resamples=199).overall.p < 0.05
        found = compare(shared, seed=trial, n_resamples=199).overall
        assert found.n_clusters == 20
        clustered += found.p < 0.05
        covered += found.low <= 0 <= found.high
    assert naive / trials > 0.3
    assert clustered / trials < 0.11
    assert covered / trials > 0.86


def test_join_keeps_what_both_have() -> None:
    tasks = {"x": "qa", "y": "qa", "z": "qa"}
    joined = join({"x": 1.0, "y": 0.0}, {"y": 1.0, "z": 1.0}, tasks, {"y": "c"})
    assert joined.pairs == (Pair("qa", 0.0, 1.0, "c"),)
    assert (joined.only_a, joined.only_b) == (("x",), ("z",))


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_by_hand(given: list[float], adjusted: list[float]) -> None:
    assert holm(given) == pytest.approx(adjusted)


def test_holm_passes_over_what_was_not_made() -> None:
    found = holm([0.01, math.nan, 0.04])
    assert math.isnan(found[1])
    assert (found[0], found[2]) == pytest.approx((0.02, 0.04))
    with pytest.raises(ValueError, match=r"0\.\.1"):
        holm([1.2])


def test_holm_holds_the_family_wise_level() -> None:
    p_values = np.random.default_rng(2).uniform(size=(2000, 10))
    rejected = sum(min(holm(list(row))) <= 0.05 for row in p_values)
    assert 0.035 < rejected / 2000 < 0.065


def test_the_smallest_detectable_difference_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(6)
    n, spread = 50, 0.3
    effect = smallest_detectable(spread / math.sqrt(n), n - 1)
    found = 0
    for _ in range(600):
        values = effect + spread * rng.normal(size=n)
        t = values.mean() / (values.std(ddof=1) / math.sqrt(n))
        found += abs(t) > 2.0096
    assert found / 600 == pytest.approx(0.8, abs=0.05)
    assert math.isnan(smallest_detectable(math.nan, 10))
    assert math.isnan(smallest_detectable(0.1, 0))


def test_clusters_are_gathered_whole() -> None:
    found = gather([1.0, 2.0, 4.0], ["x", "y", "x"])
    assert (list(found.sums), list(found.counts)) == ([5.0, 2.0], [2.0, 1.0])
    with pytest.raises(ValueError, match="give each value its cluster"):
        gather([1.0], ["x", "y"])
    with pytest.raises(ValueError, match="finite"):
        gather([math.nan])
