"""Code completion: a call of a function that is defined somewhere above; its arguments are wanted."""

from __future__ import annotations

from hisa_tasks.draws import Draws
from hisa_tasks.mini.question import Context, Question
from hisa_tasks.mini.words import Names

BODIES = (
    '    """Gives back what is left of {a}."""\n    {v} = sorted({a})\n    return {v}[1:]\n',
    "    if not {a}:\n        raise LookupError('{v}')\n    return {a}\n",
    "    {v} = 0\n    for one in {a}:\n        {v} += one\n    return {v}\n",
    "    with open({a}) as {v}:\n        return {v}.readline()\n",
    "    # Nothing is kept of {v} here.\n    return [one for one in {a} if one]\n",
)
QUESTION = "{v} = {f}("


def build(n_chars: int, n_questions: int, *parts: str | int) -> Context:
    """A module of small functions, as many as fit."""
    draws = Draws("call", *parts)
    names = Names(draws)
    functions: list[tuple[str, str, str]] = []
    size = 0
    while True:
        function = names.identifier()
        parameters = [names.new().lower() for _ in range(2 + draws.below(2))]
        head = f"def {function}({', '.join(parameters)}):\n"
        text = head + draws.choice(BODIES).format(a=draws.choice(parameters), v=names.new().lower())
        size += len(text) + 2
        if size > n_chars:
            break
        functions.append((function, ", ".join(parameters), text))
    asked = list(functions)
    draws.shuffle(asked)
    questions = tuple(
        Question(
            QUESTION.format(v=names.new().lower(), f=function), (f"{parameters})",), (text.split("\n")[0],)
        )
        for function, parameters, text in asked[:n_questions]
    )
    return Context("\n\n".join(text for _, _, text in functions).rstrip(), questions)
