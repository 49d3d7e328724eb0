"""Counting: how often something happens in the text, from once to five times."""

from __future__ import annotations

from hisa_tasks.draws import Draws
from hisa_tasks.mini.question import Context, Question
from hisa_tasks.mini.text import hide
from hisa_tasks.mini.words import Names

MOST = 5
STATEMENT = "At dusk the {k} was lit."
QUESTION = "How many times was the {k} lit?\nReply: The count of the {k} is"


def build(n_chars: int, n_questions: int, *parts: str | int) -> Context:
    """Prose in which several lamps are lit, each a number of times of its own."""
    draws = Draws("count", *parts)
    names = Names(draws)
    numbers = list(range(1, MOST + 1))
    draws.shuffle(numbers)
    lamps = [(names.new(), numbers[place % MOST]) for place in range(n_questions + n_chars // 4096)]
    statements = [STATEMENT.format(k=name) for name, number in lamps for _ in range(number)]
    questions = tuple(
        Question(QUESTION.format(k=name), (str(number),), (STATEMENT.format(k=name),) * number)
        for name, number in lamps[:n_questions]
    )
    return Context(hide(statements, n_chars, draws, "mini-count", *parts), questions)
