"""The sign-flip test: exact for few, uniform under the null, never 0."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from hisa_eval.stats.permutation import sign_flip_p


def by_enumeration(values: list[float]) -> float:
    observed = abs(sum(values))
    patterns = list(itertools.product((1, -1), repeat=len(values)))
    reached = sum(abs(np.dot(signs, values)) >= observed - 1e-12 for signs in patterns)
    return reached / len(patterns)


@pytest.mark.parametrize(
    "values",
    [
        [1.0] * 5,
        [0.3, -0.1, 0.4, 0.2],
        [1.0, -1.0],
        [0.5],
        [0.1, 0.2, 0.3, -0.6],
        list(np.linspace(-0.2, 1, 10)),
    ],
)
def test_few_differences_are_enumerated(values: list[float]) -> None:
    assert sign_flip_p(np.array(values)) == pytest.approx(by_enumeration(values))
    padded = np.array([0.0, *values, 0.0])
    assert sign_flip_p(padded) == sign_flip_p(np.array(values)), "equal scores say nothing"


def test_nothing_differs() -> None:
    assert sign_flip_p(np.zeros(20)) == 1.0
    assert sign_flip_p(np.array([])) == 1.0


def test_p_is_never_0_and_is_seeded() -> None:
    strong = np.linspace(0.5, 1, 60)
    assert sign_flip_p(strong, n_resamples=999) == pytest.approx(2 / 1000)
    mild = np.random.default_rng(1).normal(0.2, 1, size=60)
    assert sign_flip_p(mild, seed=3) == sign_flip_p(mild, seed=3)
    assert sign_flip_p(mild, seed=3) == pytest.approx(sign_flip_p(mild, seed=4), abs=0.02)
    assert sign_flip_p(mild) == pytest.approx(sign_flip_p(-mild), abs=0.02)


@pytest.mark.parametrize("n", [11, 30])
def test_p_is_uniform_under_the_null(n: int) -> None:
    rng = np.random.default_rng(n)
    p_values = [sign_flip_p(rng.standard_t(4, size=n), n_resamples=4095, seed=trial) for trial in range(300)]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.04)
