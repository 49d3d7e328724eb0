"""Summaries: the text says what comes out of a matter, and that sentence is wanted."""

from __future__ import annotations

from hisa_tasks.draws import Draws
from hisa_tasks.mini.question import Context, Question
from hisa_tasks.mini.text import hide
from hisa_tasks.mini.words import Names
from hisa_tasks.niah.needles.words import word_list

STATEMENT = "The upshot concerning {k} is that {s}."
SENTENCES = (
    "the {a} {n} {v} {p} every {n}",
    "no {n} {v} {p} the {a} {n}",
    "one {a} {n} {v} {p} another {a} {n}",
    "either {n} or {a} {n} {v} {p} the {n}",
)
VERBS = (
    "may rust", "will float", "must vanish", "should sleep", "could wobble", "might freeze", "will echo",
    "may rot", "must glow", "should tumble", "could multiply", "might sink", "will shrink", "may burst",
)  # fmt: skip
PLACES = (
    "beneath", "behind", "without", "beyond", "like", "against", "around", "despite", "inside", "before",
    "opposite", "underneath", "alongside", "throughout",
)  # fmt: skip
QUESTION = "Put the matter of {k} into one sentence.\nReply: The upshot concerning {k} is that"


def build(n_chars: int, n_questions: int, *parts: str | int) -> Context:
    """A report on several matters, each with its upshot somewhere."""
    draws = Draws("main_point", *parts)
    names = Names(draws)
    points = [(names.new(), _sentence(draws)) for _ in range(n_questions + n_chars // 2048)]
    statements = [STATEMENT.format(k=key, s=sentence) for key, sentence in points]
    questions = tuple(
        Question(QUESTION.format(k=key), (f"{sentence}.",), (statement,))
        for (key, sentence), statement in list(zip(points, statements, strict=True))[:n_questions]
    )
    draws.shuffle(statements)
    return Context(hide(statements, n_chars, draws, "mini-main-point", *parts), questions)


def _sentence(draws: Draws) -> str:
    text = draws.choice(SENTENCES)
    words = {"{a}": word_list("adjectives"), "{n}": word_list("nouns"), "{v}": VERBS, "{p}": PLACES}
    for slot, choices in words.items():
        while slot in text:
            text = text.replace(slot, draws.choice(choices), 1)
    return text
