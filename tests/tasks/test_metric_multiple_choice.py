"""Multiple choice: which letter an answer states."""

from __future__ import annotations

import pytest

from hisa_tasks.metrics.multiple_choice import chosen_letter, multiple_choice


@pytest.mark.parametrize(
    ("prediction", "letter"),
    [
        ("The correct answer is (B).", "B"),
        ("The correct answer is B", "B"),
        ("**The correct answer is (C)**", "C"),
        ("The correct answer is *D*", "D"),
        ("The correct answer is A. No: The correct answer is (B)", "B"),
        ("The correct answer is (A). The correct answer is (B)", "A"),
        ("the correct answer is (B)", None),
        ("B", None),
        ("The correct answer is (E)", None),
        ("The correct answer is:\n(A)", None),
        ("The correct answer is Denmark", "D"),
        ("", None),
    ],
)
def test_letters(prediction: str, letter: str | None) -> None:
    assert chosen_letter(prediction) == letter
    for one in "ABCD":
        assert multiple_choice([one], prediction) == float(one == letter)
