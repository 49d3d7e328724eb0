"""Multi-document questions: one document names a person, another says where that person is to be found."""

from __future__ import annotations

from hisa_tasks.draws import Draws
from hisa_tasks.mini.question import Context, Question
from hisa_tasks.mini.text import hide
from hisa_tasks.mini.words import Names

RELATIONS = ("steward", "tutor", "heir", "envoy")
FIRST = (
    "In those years, the {r} of {n} is {p}.",
    "The papers agree that the {r} of {n} is {p}.",
)
SECOND = "{p} sails from {z}."
QUESTION = (
    "Look up the {r} of {n}, then the harbour which that person sails from.\n"
    "Reply: The {r} of {n} and the harbour are"
)


def build(n_chars: int, n_questions: int, *parts: str | int) -> Context:
    """Numbered documents of prose with one fact each; persons and harbours of others lie between."""
    draws = Draws("two_documents", *parts)
    names = Names(draws)
    relations = list(RELATIONS)
    draws.shuffle(relations)
    facts: list[str] = []
    questions = []
    for place in range(n_questions + n_chars // 2560):
        relation, owner, person, harbour = draws.choice(relations[:2]), names.new(), names.new(), names.new()
        pair = (
            draws.choice(FIRST).format(r=relation, n=owner, p=person),
            SECOND.format(p=person, z=harbour),
        )
        facts += pair
        if place < n_questions:
            questions.append(Question(QUESTION.format(r=relation, n=owner), (f"{person}, {harbour}",), pair))
    draws.shuffle(facts)
    room = n_chars // len(facts) - len("Document 99:\n\n\n")
    documents = [
        f"Document {number}:\n{hide([fact], room, draws, 'mini-two-documents', *parts, number)}"
        for number, fact in enumerate(facts, start=1)
    ]
    return Context("\n\n".join(documents), tuple(questions))
