"""Named rules for answers of models that think aloud first."""

from __future__ import annotations

import re
from collections.abc import Callable

_BLOCK = re.compile(r"<think>.*?</think>", re.DOTALL)


def keep(prediction: str) -> str:
    """The prediction as it is, thoughts and all: what the official scorers do."""
    return prediction


def think_tags(prediction: str) -> str:
    """What follows the thinking.

    Every block from "<think>" to "</think>" is dropped; so is everything up to a "</think>" that is left (the
    chat template may have opened the block) and everything from a "<think>" that is never closed (generation
    ended inside it). If anything was dropped, newlines at the front of the rest go too.
    """
    rest = _BLOCK.sub("", prediction)
    rest = rest.rpartition("</think>")[2].partition("<think>")[0]
    return prediction if rest == prediction else rest.lstrip("\n")


RULES: dict[str, Callable[[str], str]] = {"none": keep, "think-tags": think_tags}


def strip_thinking(prediction: str, rule: str) -> str:
    """The part of a prediction that is scored under a rule.

    Args:
        prediction: What the model generated.
        rule: Key of `RULES`.

    Raises:
        ValueError: The rule is unknown.
    """
    if rule not in RULES:
        raise ValueError(f"unknown thinking rule {rule!r} – known: {', '.join(RULES)}")
    return RULES[rule](prediction)
