"""Code similarity against values worked out by hand, in both variants."""

from __future__ import annotations

import random

import pytest

from hisa_tasks.metrics.code_similarity import VARIANTS, code_similarity, first_code_line


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("references", "prediction", "expected"),
    [
        (["x = 1"], "x = 1", 1.0),
        (["x = 1"], "\n\nx = 1\ny = 2", 1.0),
        (["x = 1"], "# note\n`x`\n// c\nx = 1", 1.0),
        (["abcd"], "abxd", 0.75),
        (["abcdefgh"], "a", 0.22),
        (["ab\r"], "ab", 0.8),
        ([""], "", 1.0),
        (["x"], "", 0.0),
        ([""], "x", 0.0),
        (["zzz", "return y", "x"], "return x", 0.88),
        (["# only a comment"], "# only a comment", 0.0),
    ],
)
def test_by_hand(references: list[str], prediction: str, expected: float, variant: str) -> None:
    if variant == "rapidfuzz":
        pytest.importorskip("rapidfuzz")
    assert code_similarity(references, prediction, variant) == expected


def test_the_variants_differ_where_the_original_does() -> None:
    pytest.importorskip("rapidfuzz")
    reference, prediction = "ab" + "x" * 230, "x" * 250 + "ab"
    assert code_similarity([reference], prediction) == 0.01
    assert code_similarity([reference], prediction, "rapidfuzz") == 0.95
    draw = random.Random(3)
    higher = 0
    for _ in range(200):
        one, other = ("".join(draw.choices("ab =()", k=draw.randint(1, 60))) for _ in range(2))
        simple, longest = (code_similarity([one], other, variant) for variant in VARIANTS)
        assert simple <= longest
        higher += simple < longest
    assert higher > 50


def test_the_first_line_of_code() -> None:
    assert first_code_line("\n  \nx") == "  "
    assert first_code_line("#\n//\n`") == ""
    assert first_code_line("\r\nx") == "\r"


def test_an_unknown_variant() -> None:
    with pytest.raises(ValueError, match="unknown code similarity 'jaro' – known: difflib, rapidfuzz"):
        code_similarity(["x"], "x", "jaro")
