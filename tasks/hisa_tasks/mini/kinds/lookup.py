"""Single-document questions: a fact by attribute and owner, among facts that share either."""

from __future__ import annotations

from hisa_tasks.draws import Draws
from hisa_tasks.mini.question import Context, Question
from hisa_tasks.mini.text import hide
from hisa_tasks.mini.words import Names

ATTRIBUTES = ("emblem", "patron", "anthem", "guardian", "mascot", "sigil")
STATEMENTS = (
    "By all accounts, the {a} of {n} is {v}.",
    "It was settled long ago that the {a} of {n} is {v}.",
    "Travellers report that the {a} of {n} is {v}.",
)
QUESTION = "Going by the text, which {a} would you give for {n}?\nReply: The {a} of {n} is"


def build(n_chars: int, n_questions: int, *parts: str | int) -> Context:
    """A chronicle with facts about places; owners have several attributes."""
    draws = Draws("lookup", *parts)
    names = Names(draws)
    attributes = list(ATTRIBUTES)
    draws.shuffle(attributes)
    keys = [
        (attribute, owner)
        for owner in (names.new() for _ in range(n_questions + n_chars // 2048))
        for attribute in attributes[:2]
    ]
    draws.shuffle(keys)
    values = [names.new() for _ in keys]
    statements = [
        draws.choice(STATEMENTS).format(a=a, n=n, v=v) for (a, n), v in zip(keys, values, strict=True)
    ]
    questions = tuple(
        Question(QUESTION.format(a=a, n=n), (value,), (statement,))
        for (a, n), value, statement in list(zip(keys, values, statements, strict=True))[:n_questions]
    )
    draws.shuffle(statements)
    return Context(hide(statements, n_chars, draws, "mini-lookup", *parts), questions)
