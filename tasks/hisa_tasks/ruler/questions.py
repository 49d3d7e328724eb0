"""Question answering: a question whose documents stand among many others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hisa_tasks.draws import Draws
from hisa_tasks.niah.fit import MIN_HAYSTACK, last_sentence
from hisa_tasks.niah.haystacks.noise import NOISE
from hisa_tasks.ruler.base import Built, Count, Place, Recipe
from hisa_tasks.ruler.fit import Draft, exact
from hisa_tasks.ruler.qa_files import FORMATS, QaFile, Question, load
from hisa_tasks.ruler.texts import template

_GAP = "\n\n"


def titled(number: int, document: str) -> str:
    """A document as it stands in the context."""
    return f"Document {number}:\n{document}"


class _Documents:
    """Documents for one question, in the order in which a growing context takes them in.

    First those that the question needs, then those related to them, then all others, each group in random
    order; then, for contexts longer than the file, all documents over and over.
    """

    def __init__(self, file: QaFile, question: Question, draws: Draws) -> None:
        self.file = file
        self.draws = draws
        needed = set(question.documents)
        related = [index for index in question.related if index not in needed]
        used = needed | set(related)
        others = [index for index in range(len(file.documents)) if index not in used]
        draws.shuffle(related)
        draws.shuffle(others)
        self.order = [*question.documents, *related, *others]

    def first(self, n_documents: int) -> list[int]:
        """Indices of the first documents."""
        while len(self.order) < n_documents:
            again = list(range(len(self.file.documents)))
            self.draws.shuffle(again)
            self.order += again
        return self.order[:n_documents]

    def filler(self, after: int, question: Question) -> str:
        """Text for the cut document: of those that would come next without the needed ones, else noise."""
        indices = (index for index in self.first(after + 64)[after:] if index not in question.documents)
        texts: list[str] = []
        for index in indices:
            texts.append(self.file.documents[index])
            if sum(map(len, texts)) > 16_384:
                break
        return " ".join(texts or [NOISE] * 200)


@dataclass(frozen=True)
class _Layout:
    """Where things stand in a draft: each document with its offset, those after the cut one counted from its
    end."""

    before: tuple[tuple[int, int], ...]
    after: tuple[tuple[int, int], ...]
    n_taken: int


@dataclass(frozen=True)
class Questions(Recipe):
    """RULER's `qa_1` (SQuAD) and `qa_2` (HotpotQA).

    Differences from the official generator: one distractor, at a random place, is cut and ended so that the
    length is exact; questions come in a random order that the seed decides and that is the same at every
    length, where the original takes the file's first ones.

    Args:
        name: Of the task.
        source: `"squad"` or `"hotpotqa"`.
        data: Path of the file, or of its folder.

    Raises:
        ValueError: The file is missing or cannot be used.
    """

    name: str
    source: str
    data: str | None = None
    file: QaFile = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", load(FORMATS[self.source], self.name, self.data))

    def build(self, place: Place, budget: int, count: Count) -> Built:
        """See `Recipe.build`."""
        file = self.file
        number = self._number(file, place)
        question = file.questions[number]
        documents = _Documents(file, question, place.draws("documents"))
        parts = template("questions")
        tail = parts.tail(query=question.text)

        def compose(n_documents: int) -> Draft[_Layout]:
            draws = place.draws("order")
            order = documents.first(n_documents)
            draws.shuffle(order)
            cut = draws.below(n_documents + 1)
            head, before = _joined(parts.before, order[:cut], 1, file)
            rest, after = _joined("", order[cut:], cut + 2, file)
            head += titled(cut + 1, "")
            rest = _GAP + rest.removesuffix(_GAP) if rest else ""
            after = tuple((index, offset + len(_GAP)) for index, offset in after)
            return Draft(head, rest + tail, _Layout(before, after, n_documents))

        def find(draft: Draft[_Layout], want: int, nearby: Count) -> str | None:
            return last_sentence(documents.filler(draft.info.n_taken, question), want, nearby)

        least = len(question.documents)
        n_documents, draft, last = exact(compose, find, least, MIN_HAYSTACK, budget, count)
        return Built(
            draft.head + last + draft.tail,
            question.answers,
            _evidence(draft, last, question),
            {
                "question": number,
                "n_documents": n_documents + 1,
                "n_needed_documents": len(question.documents),
                "source": self.source,
            },
        )

    def describe(self) -> dict[str, Any]:
        """See `Recipe.describe`."""
        file = self.file
        return {
            "source": self.source,
            "sha256": file.sha256,
            "n_questions": len(file.questions),
            "n_documents": len(file.documents),
        }

    def _number(self, file: QaFile, place: Place) -> int:
        """Which question the sample asks."""
        if place.index >= len(file.questions):
            raise ValueError(
                f"sample index {place.index} is beyond the {len(file.questions)} questions of {file.path} – "
                "ask for fewer samples, or give a larger file"
            )
        order = list(range(len(file.questions)))
        Draws("ruler", "questions", self.name, place.seed).shuffle(order)
        return order[place.index]


def _joined(
    start: str, order: list[int], first: int, file: QaFile
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Documents, each with the gap after it, and where their texts begin."""
    pieces, offsets, position = [start], [], len(start)
    for number, index in enumerate(order, first):
        title = titled(number, "")
        offsets.append((index, position + len(title)))
        pieces += (title, file.documents[index], _GAP)
        position += len(title) + len(file.documents[index]) + len(_GAP)
    return "".join(pieces), tuple(offsets)


def _evidence(draft: Draft[_Layout], last: str, question: Question) -> tuple[tuple[int, int], ...]:
    """Spans of the prompt that hold the answer, in every copy of a needed document."""
    end = len(draft.head) + len(last)
    placed = (*draft.info.before, *((index, end + offset) for index, offset in draft.info.after))
    spans = [
        (offset + start, offset + stop)
        for index, offset in placed
        for own, start, stop in question.evidence
        if own == index
    ]
    return tuple(sorted(spans))
