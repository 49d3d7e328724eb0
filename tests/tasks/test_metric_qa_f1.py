"""QA F1 against values worked out by hand."""

from __future__ import annotations

import pytest

from hisa_tasks.metrics.qa_f1 import qa_f1
from hisa_tasks.metrics.qa_f1_zh import qa_f1_zh


@pytest.mark.parametrize(
    ("references", "prediction", "expected"),
    [
        (["Paris"], "paris.", 1.0),
        (["the cat sat"], "A cat", 2 / 3),
        (["well known"], "well-known", 0.0),
        (["wellknown"], "well-known", 1.0),
        (["“Paris”"], "Paris", 0.0),
        (["yes"], "yes yes yes", 0.5),
        (["a b c", "x y", "b c d"], "b c d", 1.0),
        (["a b c", "x y", "b c d e"], "c d", 2 / 3),
        (["the"], "a", 0.0),
        ([""], "", 0.0),
        (["x"], "", 0.0),
        (["one\u00a0two"], "two\u2028one", 1.0),
    ],
)
def test_english(references: list[str], prediction: str, expected: float) -> None:
    assert qa_f1(references, prediction) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("references", "prediction", "expected"),
    [
        (["北京大学"], "北京大学。", 1.0),
        (["清华大学"], "北京大学", 0.0),
        (["我爱北京"], "北京", 0.5),
        (["没有", "北京大学"], "“北京大学”！", 1.0),
        (["，。"], "，。", 0.0),
        (["好"], "", 0.0),
        (["GPU"], "gpu", 1.0),
    ],
)
def test_chinese(references: list[str], prediction: str, expected: float) -> None:
    assert qa_f1_zh(references, prediction) == pytest.approx(expected, abs=1e-12)


def test_one_string_is_no_list_of_references() -> None:
    for metric in (qa_f1, qa_f1_zh):
        with pytest.raises(ValueError, match="references are one string, 'x' – "):
            metric("x", "x")
