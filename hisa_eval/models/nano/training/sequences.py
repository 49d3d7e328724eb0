"""Training sequences: text with needles and copied spans in it, questions with answers after them."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from hisa_eval.models.nano.architecture import BYTE_OFFSET, EOS_ID
from hisa_eval.models.nano.training.exercise import Exercise, Maker
from hisa_eval.models.nano.training.kinds import KINDS
from hisa_eval.models.nano.training.needles import NeedleMaker
from hisa_eval.models.nano.training.text import haystack, source_code

PLAIN, COPIED, ANSWER, FIRST = 0, 1, 2, 3
"""Classes of target bytes, each with its own share of the loss. FIRST and all above it are the bytes of an
answer that show whether it was found, and the mark that ends it; ANSWER is the rest of it."""

_ALL_KINDS: tuple[type[Maker], ...] = (NeedleMaker, *KINDS)
_PARTS = ("", " further", " end", " alone", " alone further", " alone end")
FIRST_NAMES = tuple(f"{kind.name}{part}" for kind in _ALL_KINDS for part in _PARTS)
"""What the classes from FIRST on stand for, by kind of question: the first byte that has to be found, further
ones in the same answer, and its end; apart where the sequence asks nothing else."""

_COPY_LEAD = 6  # bytes of a pasted span before its continuation is predictable
_INTRODUCTIONS = [
    b"",
    b"Some facts are hidden in the following text. Keep them in mind.\n",
    b"Read the text below. Questions follow.\n",
    b"A secret is hidden within the text that follows. Make sure to remember it. I will ask you about it.\n",
]


@dataclass(frozen=True)
class Sequence:
    """Token ids `[L]` and the class of each of them as a target `[L]`."""

    ids: np.ndarray
    classes: np.ndarray


def _cut_point(text: bytes, position: int, marks: tuple[bytes, ...]) -> int:
    """The end of the sentence or line at a position; the position itself where none ends nearby."""
    ends = [at + len(mark) for mark in marks if (at := text.find(mark, position, position + 200)) >= 0]
    return min(ends, default=position)


def _copied_spans(body: bytearray, classes: np.ndarray, count: int, rng: random.Random) -> None:
    for _ in range(count):
        size = rng.randint(12, 60)
        if len(body) < 4 * size:
            return
        source = rng.randrange(len(body) // 2)
        target = rng.randrange(source + size, len(body) - size) if source + size < len(body) - size else -1
        if target < 0:
            continue
        body[target : target + size] = body[source : source + size]
        classes[target : target + size] = PLAIN
        classes[target + _COPY_LEAD : target + size] = COPIED


def build_repeats(length: int, rng: random.Random) -> Sequence:
    """A sequence that is nothing but short random strings, each said twice or more.

    The quickest way for a fresh model to learn to copy; only the first stages use it.

    Args:
        length: Tokens.
        rng: Source of every choice.
    """
    ids: list[int] = []
    classes: list[int] = []
    alphabet = rng.choice(
        (b"0123456789", b"abcdefghijklmnopqrstuvwxyz", bytes(range(32, 127)), bytes(range(32, 127)))
    )
    while len(ids) < length:
        size = rng.randint(6, 48)
        kind = rng.random()
        piece = bytes(rng.choices(alphabet, k=size)) if kind < 0.6 else haystack(size, rng)
        for turn in range(rng.choice((2, 2, 3))):
            ids += [byte + BYTE_OFFSET for byte in piece]
            lead = 3 if turn else size
            classes += [PLAIN] * min(lead, size) + [COPIED] * (size - min(lead, size))
    return Sequence(np.array(ids[:length], dtype=np.int64), np.array(classes[:length], dtype=np.uint8))


def build_sequence(length: int, n_questions: int, rng: random.Random, mini: float = 0.0) -> Sequence:
    """One training sequence of exactly `length` tokens.

    Args:
        length: Tokens (bytes and end-of-sequence marks).
        n_questions: Questions wanted; fewer where they do not fit in the sequence.
        rng: Source of every choice.
        mini: Chance that it asks another kind of question than needles.
    """
    kind: type[Maker] = NeedleMaker
    if rng.random() < mini:
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    maker = kind(rng, length)
    # Many long sequences ask little: a model that always sees answers before its own leans on them.
    few = rng.random() < (0.4 if length > 32768 else 0.6 if length > 2048 else 0.3 if length > 512 else 0.0)
    many = (n_questions, n_questions, n_questions // 2, max(1, n_questions // 8))
    asked = _asked(maker, rng.choice((1, 1, 1, 1, 3) if few else many), length)
    tail_size = sum(len(e.question) + len(e.answer) + len(e.end) + 2 for e in asked)
    separator = rng.choice((b" ", b"\n"))
    room = length - tail_size - sum(len(_closed(one, separator)) for e in asked for one in e.statements)
    floor = maker.text_share * (length - tail_size)
    others: list[tuple[int, bytes]] = []
    for _ in range(maker.n_distractors(len(asked), room)):
        exercise = maker.make()
        size = sum(len(_closed(one, separator)) for one in exercise.statements)
        if room - size < floor:
            break
        room -= size
        others += [(exercise.order, one) for one in exercise.statements]

    plain = source_code if maker.code and rng.random() < 0.7 else haystack
    text = bytearray(plain(max(room, 0), rng))
    text_classes = np.zeros(len(text), dtype=np.uint8)
    _copied_spans(text, text_classes, max(1, len(text) // 700), rng)
    introduction = rng.choice(_INTRODUCTIONS)
    if length > 1024 and len(introduction) < len(text):
        text[: len(introduction)] = introduction

    # Where the questions of a sequence stand apart, each has only text right before it.
    apart = length > 512 and not maker.ordered and rng.random() < (0.5 if few else 0.3)
    pieces = _placed(bytes(text), asked, others, maker, rng, apart=apart)
    ids: list[np.ndarray] = []
    classes: list[np.ndarray] = []

    def add(piece: bytes | bytearray, piece_classes: np.ndarray | int = PLAIN) -> None:
        values = np.frombuffer(bytes(piece), dtype=np.uint8).astype(np.int64) + BYTE_OFFSET
        ids.append(values)
        given = (
            np.full(len(values), piece_classes, np.uint8) if isinstance(piece_classes, int) else piece_classes
        )
        classes.append(given)

    before = 0
    first_class = FIRST + FIRST_NAMES.index(maker.name) + (3 if len(asked) == 1 else 0)
    for point, piece in pieces:
        add(text[before:point], text_classes[before:point])
        before = point
        if isinstance(piece, bytes):
            add(_closed(piece, separator))
            continue
        add(b"\n" + piece.question)
        answer = piece.answer + piece.end
        answer_classes = np.full(len(answer), ANSWER, dtype=np.uint8)
        answer_classes[list(piece.firsts)] = first_class + 1
        answer_classes[piece.firsts[0]] = first_class
        add(answer, answer_classes)
        ids.append(np.array([EOS_ID], dtype=np.int64))
        classes.append(np.array([first_class + 2], dtype=np.uint8))
    add(text[before:], text_classes[before:])
    return _cut_to(length, np.concatenate(ids), np.concatenate(classes))


def _closed(statement: bytes, separator: bytes) -> bytes:
    return statement if statement.endswith((b" ", b"\n")) else statement + separator


def _asked(maker: Maker, wanted: int, length: int) -> list[Exercise]:
    asked: list[Exercise] = []
    used = 0
    for _ in range(wanted):
        exercise = maker.make()
        used += len(exercise.question) + len(exercise.answer) + 4 + sum(len(s) for s in exercise.statements)
        if used > 0.8 * length:
            break
        asked.append(exercise)
    return asked


def _placed(
    text: bytes,
    asked: list[Exercise],
    others: list[tuple[int, bytes]],
    maker: Maker,
    rng: random.Random,
    *,
    apart: bool,
) -> list[tuple[int, bytes | Exercise]]:
    """Where statements and questions go into the text, in ascending order.

    A question is an `Exercise` and comes after all of its statements: at the end of the text, or where they
    stand apart anywhere in its last three quarters.
    """

    def place(limit: int) -> int:
        return min(_cut_point(text, rng.randrange(limit + 1), maker.marks), limit)

    rng.shuffle(asked)
    placed: list[tuple[int, int, bytes | Exercise]] = []
    statements: list[tuple[int, int, bytes]] = []
    for exercise in asked:
        end = _cut_point(text, rng.randint(len(text) // 4, len(text)), maker.marks) if apart else len(text)
        statements += [(place(end), exercise.order, one) for one in exercise.statements]
        placed.append((end, 1, exercise))
    statements += [(place(len(text)), order, one) for order, one in others]
    if maker.ordered:
        points = sorted(point for point, _, _ in statements)
        statements.sort(key=lambda one: one[1])
        statements = [(point, *one[1:]) for point, one in zip(points, statements, strict=True)]
    else:
        rng.shuffle(statements)
    placed += [(point, 0, one) for point, _, one in statements]
    placed.sort(key=lambda one: one[:2])
    return [(point, piece) for point, _, piece in placed]


def _cut_to(length: int, ids: np.ndarray, classes: np.ndarray) -> Sequence:
    """Whatever rounding left over is cut from (or filled in at) the front, where no question is."""
    surplus = len(ids) - length
    if surplus < 0:
        filler = np.full(-surplus, ord(" ") + BYTE_OFFSET, dtype=np.int64)
        return Sequence(
            np.concatenate((filler, ids)), np.concatenate((np.zeros(-surplus, np.uint8), classes))
        )
    return Sequence(ids[surplus:], classes[surplus:])
