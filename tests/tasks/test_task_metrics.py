"""Metrics against values worked out by hand."""

from __future__ import annotations

import pytest

from hisa_tasks.metrics.key_facts import key_facts
from hisa_tasks.metrics.string_match_all import string_match_all
from hisa_tasks.niah import NiahTask, score
from hisa_tasks.registry import score as score_by_task
from hisa_tasks.sample import Tokenizer

FACTS = ("sandwich", "Dolores Park", "sunny day")


@pytest.mark.parametrize(
    ("references", "prediction", "expected"),
    [
        (["1234567"], " 1234567.", 1.0),
        (["1234567"], "123456", 0.0),
        (["1234567"], "991234567", 1.0),
        (["Apple-Pie"], "it is apple-PIE", 1.0),
        (["1", "2", "3", "4"], "2 and 4", 0.5),
        (["1", "2", "3"], "3", 1 / 3),
        (["7", "7"], "7", 1.0),
        (["a b"], "a\tb", 0.0),
        (["a\nb"], "a\x00b", 1.0),
        (["a\nb"], "\x1fa\tb\x1f", 1.0),
        (["x"], "", 0.0),
    ],
)
def test_string_match_all(references: list[str], prediction: str, expected: float) -> None:
    assert string_match_all(references, prediction) == pytest.approx(expected)
    assert score(references, prediction) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (" eat a sandwich and sit in Dolores Park on a sunny day.", 1.0),
        ("Sit in DOLORES\n  park, with a Sandwich!", 2 / 3),
        ("sandwiches on sunny days in Park Dolores", 0.0),
        ("Sandwich.", 1 / 3),
        ("", 0.0),
    ],
)
def test_key_facts(prediction: str, expected: float) -> None:
    assert key_facts(FACTS, prediction) == pytest.approx(expected)
    assert score(FACTS, prediction, metric="key-facts") == pytest.approx(expected)


def test_a_sample_is_scored_by_its_own_metric(byte_tokenizer: Tokenizer) -> None:
    classic = NiahTask("san-francisco").sample(2048, 50, 0, byte_tokenizer)
    assert score(classic, "sit in Dolores   Park") == pytest.approx(1 / 3)
    multi = NiahTask("multivalue").sample(2048, 50, 0, byte_tokenizer)
    assert score(multi, ", ".join(multi.references[1:])) == 0.75
    assert score_by_task(multi, " ".join(multi.references)) == 1.0


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="needs at least one reference – "):
        string_match_all([], "x")
    with pytest.raises(ValueError, match="needs facts with letters or digits – "):
        key_facts(["..."], "x")
    with pytest.raises(ValueError, match="needs facts with letters or digits – "):
        key_facts([], "x")
    with pytest.raises(ValueError, match="references are one string, '1234567' – "):
        score("1234567", "1234567")
    with pytest.raises(ValueError, match="unknown metric 'rouge' – known: string-match-all, key-facts"):
        score(["x"], "x", metric="rouge")
