"""Variable tracking: a value is handed from variable to variable, and all of them are asked for."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.niah.fit import MIN_HAYSTACK, last_sentence
from hisa_tasks.niah.haystacks.noise import NOISE
from hisa_tasks.ruler.base import Built, Count, Place, Recipe
from hisa_tasks.ruler.fit import Draft, exact
from hisa_tasks.ruler.texts import template

EXAMPLE_TOKENS = 500
"""RULER's length of the worked example."""

_EXAMPLE_LINES = 5
"""Noise lines that the example has at least, though it may then be longer."""


@dataclass(frozen=True)
class Chain:
    """A value and the variables that it is handed through.

    Attributes:
        value: Five digits.
        names: Of the variables, in order.
    """

    value: str
    names: tuple[str, ...]

    @property
    def statements(self) -> tuple[str, ...]:
        """One assignment a variable, as they stand in the text (RULER's trailing spaces included)."""
        first = f"VAR {self.names[0]} = {self.value}"
        hops = (
            f"VAR {name} = VAR {source} " for source, name in zip(self.names, self.names[1:], strict=False)
        )
        return (first, *hops)


def lines_with(chains: Sequence[Chain], n_noise: int, draws: Draws) -> list[str]:
    """Lines of noise with the chains' statements between them, each chain in its order.

    Args:
        chains: What to hide.
        n_noise: Lines of noise, at least as many as a chain has variables.
        draws: Of the places.

    Source: NVIDIA/RULER, scripts/data/synthetic/variable_tracking.py (haystack type `noise`).
    """
    lines = [NOISE] * n_noise
    for chain in chains:
        free = list(range(len(lines)))
        draws.shuffle(free)
        places = sorted(free[: len(chain.names)])
        for already, (place, statement) in enumerate(zip(places, chain.statements, strict=True)):
            lines.insert(place + already, statement)
    return lines


def question_about(chain: Chain) -> str:
    """Question and answer prefix."""
    return template("variable_tracking").tail(query=chain.value, num_v=str(len(chain.names)))


@dataclass(frozen=True)
class VariableTracking(Recipe):
    """RULER's `vt`: noise, chains of assignments, one worked example before the question.

    The example has other names (three letters) and another value, and about 500 tokens, but never fewer than
    five lines of noise. Differences from the official generator: the last line of noise is cut and ended so
    that the length is exact; names are distinct, where the original may repeat one; with several chains the
    example's chains have values of their own, where the original gives all of them the same.

    Args:
        n_chains: Chains; the first one is asked for.
        n_hops: Assignments from variable to variable in each.
    """

    n_chains: int = 1
    n_hops: int = 4

    def __post_init__(self) -> None:
        if self.n_chains < 1 or self.n_hops < 1:
            raise ValueError(
                f"variable tracking with {self.n_chains} chains of {self.n_hops} hops – use at least 1 each"
            )

    def build(self, place: Place, budget: int, count: Count) -> Built:
        """See `Recipe.build`."""
        draws = place.draws("chains")
        taken: set[str] = {"VAR"}
        chains = [self._chain(draws, 5, self.n_hops, taken) for _ in range(self.n_chains)]
        example = self._example(draws, place, taken, count)
        intro = example + "\n\n" + template("variable_tracking").before
        tail = question_about(chains[0])

        def compose(n_noise: int) -> Draft[list[str]]:
            lines = lines_with(chains, n_noise, place.draws("places"))
            return Draft(intro + "\n".join(lines) + "\n", tail, lines)

        def find(draft: Draft[list[str]], want: int, nearby: Count) -> str | None:
            return last_sentence(" ".join([NOISE] * 8), want, nearby)

        n_noise, draft, last = exact(compose, find, self.n_hops + 1, MIN_HAYSTACK, budget, count)
        return Built(
            draft.head + last + draft.tail,
            chains[0].names,
            _spans(len(intro), draft.info, chains[0].statements),
            {
                "n_chains": self.n_chains,
                "n_hops": self.n_hops,
                "n_noise": n_noise + 1,
                "value": chains[0].value,
                "haystack": "noise",
            },
        )

    def describe(self) -> dict[str, Any]:
        """See `Recipe.describe`."""
        return {**asdict(self), "noise": NOISE, "example_tokens": EXAMPLE_TOKENS}

    def _chain(self, draws: Draws, letters: int, n_hops: int, taken: set[str]) -> Chain:
        """A chain whose names and value are not taken yet; they are then taken too."""

        def new(draw: Callable[[], object]) -> str:
            text = str(draw())
            while text in taken:
                text = str(draw())
            taken.add(text)
            return text

        names = tuple(
            new(lambda: "".join(draws.choice(string.ascii_uppercase) for _ in range(letters)))
            for _ in range(n_hops + 1)
        )
        return Chain(new(lambda: 10_000 + draws.below(89_999)), names)

    def _example(self, draws: Draws, place: Place, taken: set[str], count: Count) -> str:
        """The worked example, as long as RULER's or as short as it can be."""
        chains = [self._chain(draws, 3, min(10, self.n_hops), taken) for _ in range(self.n_chains)]
        before, tail = template("variable_tracking").before, question_about(chains[0])
        least = max(_EXAMPLE_LINES, len(chains[0].names))

        def text(n_noise: int) -> str:
            return before + "\n".join(lines_with(chains, n_noise, place.draws("example"))) + tail

        n_noise = least
        while count(text(n_noise + 1)) <= EXAMPLE_TOKENS:
            n_noise += 1
        return f"{text(n_noise)} {' '.join(chains[0].names)}"


def _spans(start: int, lines: list[str], statements: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Where the statements stand in a text whose lines begin at `start`."""
    wanted, spans = set(statements), []
    for line in lines:
        if line in wanted:
            spans.append((start, start + len(line.rstrip())))
        start += len(line) + 1
    return tuple(spans)
