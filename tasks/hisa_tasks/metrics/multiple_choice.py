"""Multiple choice: the letter that the answer states in the required form."""

from __future__ import annotations

import re
from collections.abc import Sequence

_FORMS = (
    re.compile(r"The correct answer is \(([A-D])\)"),
    re.compile(r"The correct answer is ([A-D])"),
)


def chosen_letter(prediction: str) -> str | None:
    """The letter A to D that the answer states, None where it states none in the required form.

    Asterisks are dropped first; the form with brackets is looked for before the one without.
    """
    plain = prediction.strip().replace("*", "")
    for form in _FORMS:
        found = form.search(plain)
        if found:
            return found.group(1)
    return None


def multiple_choice(references: Sequence[str], prediction: str) -> float:
    """1 if the answer states a reference's letter as "The correct answer is (X)", else 0.

    Corner cases: case counts; a bare letter does not; of several statements the first counts, one with
    brackets before one without.

    Args:
        references: The right letter.
        prediction: What the model generated.

    Returns:
        0 or 1. The original's optional "compensated" table gives 0.25 to answers without a letter; this does
        not.

    Source: THUDM/LongBench (v2), pred.py and result.py.
    """
    letter = chosen_letter(prediction)
    return float(letter is not None and letter in tuple(references))
