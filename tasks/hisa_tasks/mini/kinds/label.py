"""Few-shot questions: examples with labels, and one more whose last word had its label before."""

from __future__ import annotations

from hisa_tasks.draws import Draws
from hisa_tasks.mini.question import Context, Question
from hisa_tasks.mini.words import Names

LABELS = ("Harvest", "Voyage", "Repair", "Feast", "Quarrel", "Lesson", "Market", "Burial")
BEGINNINGS = (
    "they spoke at length about the",
    "nobody had asked for the",
    "please bring back the",
    "she would rather keep the",
    "we are still waiting for the",
    "there was no room left for the",
    "his letter says much of the",
    "who could have hidden the",
)
EXAMPLE = "Utterance: {u}\nIntent:"


def build(n_chars: int, n_questions: int, *parts: str | int) -> Context:
    """As many examples as fit: every last word stands in one or two, always with the same label."""
    draws = Draws("label", *parts)
    names = Names(draws)
    cues: list[tuple[str, str]] = []
    shown: list[str] = []
    size = 0
    while True:
        cue, label = names.new().lower(), draws.choice(LABELS)
        more = [f"{_example(cue, draws)} {label}\n" for _ in range(1 + draws.below(2))]
        size += sum(len(one) + 1 for one in more)
        if size > n_chars:
            break
        cues.append((cue, label))
        shown += more
    draws.shuffle(shown)
    questions = []
    for cue, label in cues[:n_questions]:
        evidence = tuple(one.rstrip("\n") for one in shown if f" {cue}\n" in one)
        questions.append(Question(_example(cue, draws), (label,), evidence))
    return Context("\n".join(shown).rstrip("\n"), tuple(questions), LABELS)


def _example(cue: str, draws: Draws) -> str:
    return EXAMPLE.format(u=f"{draws.choice(BEGINNINGS)} {cue}")
