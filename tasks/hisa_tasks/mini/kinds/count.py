"""Counting: how often something happens in the text, from once to five times.

Each time is numbered, so that the highest number is the count: all must be seen, none must be added up.
"""

from __future__ import annotations

from hisa_tasks.draws import Draws
from hisa_tasks.mini.question import Context, Question
from hisa_tasks.mini.text import hide
from hisa_tasks.mini.words import Names

MOST = 5
STATEMENT = "At dusk a boy lit the {k} ({i})."
QUESTION = "How many times was the {k} lit?\nReply: The count of the {k} is"


def build(n_chars: int, n_questions: int, *parts: str | int) -> Context:
    """Prose in which several lamps are lit, each a number of times of its own."""
    draws = Draws("count", *parts)
    names = Names(draws)
    numbers = list(range(1, MOST + 1))
    draws.shuffle(numbers)
    lamps = {names.new(): numbers[place % MOST] for place in range(n_questions + n_chars // 4096)}
    order = [name for name, number in lamps.items() for _ in range(number)]
    draws.shuffle(order)
    said: dict[str, list[str]] = {name: [] for name in lamps}
    statements = []
    for name in order:
        said[name].append(STATEMENT.format(k=name, i=len(said[name]) + 1))
        statements.append(said[name][-1])
    questions = tuple(
        Question(QUESTION.format(k=name), (str(number),), tuple(said[name]))
        for name, number in list(lamps.items())[:n_questions]
    )
    return Context(hide(statements, n_chars, draws, "mini-count", *parts), questions)
