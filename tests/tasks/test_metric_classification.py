"""Classification against values worked out by hand."""

from __future__ import annotations

import pytest

from hisa_tasks.metrics.classification import classification

CLASSES = ["Date", "Person", "Title of a person", "person", "City", "Other City", "Date"]


@pytest.mark.parametrize(
    ("references", "prediction", "expected"),
    [
        (["Person"], "Person", 1.0),
        (["Person"], "the Person from the City", 0.5),
        (["City"], "Person", 0.0),
        (["City"], "city", 0.0),
        (["Date"], "Date", 0.5),
        (["Other City"], "Other City", 1.0),
        (["City"], "Other City", 0.5),
        (["Title of a person"], "Title of a person", 1.0),
        (["Person", "City", "Date"], "City", 1.0),
        (["City"], "", 0.0),
    ],
)
def test_by_hand(references: list[str], prediction: str, expected: float) -> None:
    assert classification(references, prediction, CLASSES) == expected


def test_the_class_after_a_struck_one_is_skipped() -> None:
    assert classification(["abc"], "abc", ["a", "b", "c", "abc"]) == 0.5
    assert classification(["abc"], "abc", ["abc", "a", "b", "c"]) == 0.5
