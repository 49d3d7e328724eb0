"""Counting and retrieval against values worked out by hand."""

from __future__ import annotations

import pytest

from hisa_tasks.metrics.count import count
from hisa_tasks.metrics.retrieval import retrieval, retrieval_zh


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("7", 1.0),
        ("7 of 8", 0.5),
        ("7.0", 0.5),
        ("07", 0.0),
        ("７", 0.0),
        ("seven", 0.0),
        ("", 0.0),
        ("7 7 77", 2 / 3),
    ],
)
def test_count(prediction: str, expected: float) -> None:
    assert count(["7"], prediction) == pytest.approx(expected)
    assert count(["9", "7", "8.8"], prediction) >= expected


@pytest.mark.parametrize(
    ("references", "prediction", "expected"),
    [
        (["Paragraph 15"], "Paragraph 15", 1.0),
        (["Paragraph 15"], "15", 1.0),
        (["Paragraph 15"], "Paragraph 1 or 15", 0.5),
        (["Paragraph 15"], "Paragraph fifteen", 0.0),
        (["Paragraph 1", "Paragraph 2", "Paragraph 3"], "3", 1.0),
    ],
)
def test_retrieval(references: list[str], prediction: str, expected: float) -> None:
    assert retrieval(references, prediction) == expected
    chinese = [one.replace("Paragraph ", "段落") for one in references]
    assert retrieval_zh(chinese, prediction.replace("Paragraph ", "段落")) == expected


def test_a_reference_without_a_paragraph_is_an_error() -> None:
    with pytest.raises(ValueError, match="the answer '15' does not contain 'Paragraph N' – mend the data"):
        retrieval(["15"], "15")
    with pytest.raises(ValueError, match="does not contain '段落N'"):
        retrieval_zh(["Paragraph 1"], "1")
