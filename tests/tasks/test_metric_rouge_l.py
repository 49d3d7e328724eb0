"""ROUGE-L against values worked out by hand, and its failures."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from hisa_tasks.metrics.rouge_l import rouge_l
from hisa_tasks.metrics.rouge_l_zh import rouge_l_zh


def f1(union: int, prediction: int, reference: int) -> float:
    p, r = union / prediction, union / reference
    return 2 * p * r / (p + r + 1e-8)


@pytest.mark.parametrize(
    ("references", "prediction", "expected"),
    [
        (["the cat sat"], "the cat sat", f1(3, 3, 3)),
        (["The cat"], "the cat", f1(1, 2, 2)),
        (["a b c d"], "b d", f1(2, 2, 4)),
        (["a a a b"], "a b", f1(2, 2, 2)),
        (["x y. z", "q", "a b"], "a c", f1(1, 2, 2)),
        (["a b. c d"], "c d. a b", f1(4, 4, 4)),
        (["a"], "", 0.0),
        (["a"], "...", 0.0),
        ([""], "a", 0.0),
        (["a"], "b", 0.0),
    ],
)
def test_english(references: list[str], prediction: str, expected: float) -> None:
    assert rouge_l(references, prediction) == pytest.approx(expected, abs=1e-12)


def test_chinese() -> None:
    assert rouge_l_zh(["北京 大学"], "大学") == pytest.approx(f1(1, 1, 2), abs=1e-12)
    assert rouge_l_zh(["没有", "我爱北京"], "我爱北京") > 0.99
    assert rouge_l_zh(["今天"], "") == 0.0


def deep(levels: int, call: Callable[[], float]) -> float:
    return call() if levels == 0 else deep(levels - 1, call)


@pytest.mark.parametrize("levels", [0, 80])
def test_run_on_texts_score_0_from_the_same_length_however_deep_the_caller(levels: int) -> None:
    def score(n_words: int) -> float:
        prediction = " ".join(f"a{n}" for n in range(n_words // 3))
        reference = "a0 " + " ".join(f"b{n}" for n in range(n_words - n_words // 3 - 1))
        return deep(levels, lambda: rouge_l([reference], prediction))

    before = sys.getrecursionlimit()
    assert score(985) > 0
    assert score(997) == 0
    assert sys.getrecursionlimit() == before
