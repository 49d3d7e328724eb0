"""Recall of key facts: for needles whose answer is a sentence and no code word."""

from __future__ import annotations

from collections.abc import Sequence


def _plain(text: str) -> str:
    letters = "".join(character if character.isalnum() else " " for character in text.casefold())
    return f" {' '.join(letters.split())} "


def key_facts(facts: Sequence[str], prediction: str) -> float:
    """Fraction of the facts that the prediction states, by whole words.

    Case, punctuation and white space do not count; the words of a fact must stand side by side, in order.
    "Dolores  PARK!" states the fact "Dolores Park"; "sandwiches" does not state "sandwich".

    Args:
        facts: The words or short phrases that an answer has to contain, at least one.
        prediction: What the model generated.

    Returns:
        A fraction from 0 to 1.

    Raises:
        ValueError: There is no fact, or one has neither letters nor digits.

    Source: a rule of this project. The classic test asks a language model to judge the answer; a rule gives
        the same score every time.
    """
    plain = [_plain(fact) for fact in facts]
    if not plain or any(not fact.strip() for fact in plain):
        raise ValueError(
            "key_facts needs facts with letters or digits – give the needle at least one such fact"
        )
    answer = _plain(prediction)
    return sum(fact in answer for fact in plain) / len(plain)
