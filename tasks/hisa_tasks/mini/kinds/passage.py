"""Passage retrieval: numbered paragraphs, and the question which one has this heading."""

from __future__ import annotations

from hisa_tasks.draws import Draws
from hisa_tasks.mini.question import Context, Question
from hisa_tasks.mini.text import prose
from hisa_tasks.mini.words import Names

HEADING = "{t} (Paragraph {i})\n"
QUESTION = 'One paragraph is headed "{t}".\nReply: "{t}" is Paragraph'


def build(n_chars: int, n_questions: int, *parts: str | int) -> Context:
    """Paragraphs of about 600 characters under headings of two names."""
    draws = Draws("passage", *parts)
    names = Names(draws)
    count = max(n_questions, n_chars // 600)
    titles = [f"{names.new()} and {names.new()}" for _ in range(count)]
    heads = [HEADING.format(i=number, t=title) for number, title in enumerate(titles, start=1)]
    room = n_chars // count - 2
    paragraphs = [
        head + prose(room - len(head), "mini-passage", *parts, number) for number, head in enumerate(heads)
    ]
    asked = list(range(count))
    draws.shuffle(asked)
    questions = tuple(
        Question(QUESTION.format(t=titles[one]), (f"Paragraph {one + 1}",), (heads[one],))
        for one in asked[:n_questions]
    )
    return Context("\n\n".join(paragraphs), questions)
