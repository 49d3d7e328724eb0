"""What is left of an answer when its thinking is dropped."""

from __future__ import annotations

import pytest

from hisa_tasks.longbench.thinking import strip_thinking


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [
        ("<think>Is it Paris?</think>\n\nParis\n", "Paris\n"),
        ("Is it Paris?\n</think>\nParis", "Paris"),
        ("<think>a</think>x<think>b</think>y", "xy"),
        ("<think>never done", ""),
        ("Paris<think>hm", "Paris"),
        ("\nParis", "\nParis"),
        ("", ""),
        ("<think></think> Paris", " Paris"),
    ],
)
def test_think_tags(prediction: str, answer: str) -> None:
    assert strip_thinking(prediction, "think-tags") == answer
    assert strip_thinking(prediction, "none") == prediction


def test_an_unknown_rule() -> None:
    with pytest.raises(ValueError, match="unknown thinking rule 'all' – known: none, think-tags"):
        strip_thinking("x", "all")
