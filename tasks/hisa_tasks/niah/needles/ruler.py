"""RULER's needles: its sentence, question, answer prefix and rules of number, word for word.

Source: NVIDIA/RULER, scripts/data/synthetic/constants.py (template, answer prefix) and niah.py (needle
    sentence, singular forms, list of keys), both Apache-2.0; the strings make the prompts the official ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.niah.needles.base import Needle, NeedleFamily, NeedleSet
from hisa_tasks.niah.needles.words import draw_new

SENTENCE = "One of the special magic {kind} for {key} is: {value}."
INTRO = (
    "Some special magic {kind} are hidden within the following text. Make sure to memorize it. "
    "I will quiz you about the {kind} afterwards.\n"
)
QUESTION = "\nWhat are all the special magic {kind} for {query} mentioned in the provided text?"
ANSWER_PREFIX = " The special magic {kind} for {query} mentioned in the provided text are"


def singular(template: str) -> str:
    """A template as it reads when one answer is asked for."""
    return template.replace("Some", "A").replace("are all", "is").replace("are", "is")


def list_of(keys: list[str]) -> str:
    """Keys as the question names them: `"a"`, or `"a, b, and c"` (two keys keep the comma)."""
    return keys[0] if len(keys) == 1 else f"{', '.join(keys[:-1])}, and {keys[-1]}"


def needle_sentence(kind: str, key: str, value: str) -> Needle:
    """RULER's needle for a key and a value of a kind (`"numbers"`, `"words"`, `"uuids"`)."""
    sentence = SENTENCE.format(kind=kind, key=key, value=value)
    end = len(sentence) - 1
    return Needle(sentence, key, value, (end - len(value), end))


@dataclass(frozen=True)
class RulerNeedles(NeedleFamily):
    """One of RULER's retrieval families.

    Args:
        name: As on the command line.
        summary: One line for lists.
        value_kind: `"numbers"`, `"words"` or `"uuids"`; keys are always words.
        n_queries: Keys asked for.
        n_values: Values of each key.
        default_distractors: Needles with other keys, unless the run says otherwise.
    """

    name: str
    summary: str
    value_kind: str = "numbers"
    n_queries: int = 1
    n_values: int = 1
    default_distractors: int = 0
    metric: str = "string-match-all"

    def draw(self, draws: Draws, n_distractors: int) -> NeedleSet:
        """A sample's needles and question; see `NeedleFamily.draw`."""
        taken: list[str] = []
        keys = [draw_new("words", draws, taken) for _ in range(self.n_queries)]
        queried = tuple(
            needle_sentence(self.value_kind, key, draw_new(self.value_kind, draws, taken))
            for key in keys
            for _ in range(self.n_values)
        )
        target = draws.below(len(queried))
        distractors = tuple(self._distractor(draws, taken) for _ in range(n_distractors))
        one = len(queried) == 1
        kind = self.value_kind[:-1] if one else self.value_kind
        intro, question, prefix = (
            (singular(template) if one else template).format(kind=kind, query=list_of(keys))
            for template in (INTRO, QUESTION, ANSWER_PREFIX)
        )
        references = tuple(needle.value for needle in queried)
        return NeedleSet(intro, question, prefix, queried, target, distractors, references)

    def stray(self, draws: Draws, needles: NeedleSet) -> str:
        """One more distractor sentence; see `NeedleFamily.stray`."""
        taken = [text for needle in needles.queried for text in (needle.key, needle.value) if text]
        return self._distractor(draws, taken).sentence

    def describe(self) -> dict[str, Any]:
        """Its settings and templates."""
        templates = {
            "sentence": SENTENCE,
            "intro": INTRO,
            "question": QUESTION,
            "answer_prefix": ANSWER_PREFIX,
        }
        return {k: v for k, v in asdict(self).items() if k != "summary"} | templates

    def _distractor(self, draws: Draws, taken: list[str]) -> Needle:
        return needle_sentence(
            self.value_kind, draw_new("words", draws, taken), draw_new(self.value_kind, draws, taken)
        )


FAMILIES = (
    RulerNeedles("single-number", "one word key with a seven-digit number (RULER niah_single_2)"),
    RulerNeedles("single-word", "one word key with an adjective-noun pair as its value", value_kind="words"),
    RulerNeedles("single-uuid", "one word key with a UUID (RULER niah_single_3)", value_kind="uuids"),
    RulerNeedles(
        "multikey",
        "one key asked for among needles with other keys (RULER niah_multikey_1)",
        default_distractors=3,
    ),
    RulerNeedles("multivalue", "one key with four values, all asked for (RULER niah_multivalue)", n_values=4),
    RulerNeedles("multiquery", "four keys asked for at once (RULER niah_multiquery)", n_queries=4),
)
