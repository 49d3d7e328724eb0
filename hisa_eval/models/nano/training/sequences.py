"""Training sequences: text with needles and copied spans in it, questions with answers at the end."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from hisa_eval.models.nano.architecture import BYTE_OFFSET, EOS_ID
from hisa_eval.models.nano.training.needles import Needle, NeedleMaker
from hisa_eval.models.nano.training.text import haystack

PLAIN, COPIED, ANSWER, FIRST = 0, 1, 2, 3
"""Classes of target bytes, each with its own share of the loss. FIRST is the first byte of an answer's value,
the one that shows whether the needle was found; ANSWER is the rest of it."""

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


def style_for(length: int, rng: random.Random) -> str:
    """How wordy the needles of a sequence of `length` bytes may be."""
    if length <= 512:
        return "short"
    if length <= 2048:
        return rng.choice(("short", "medium", "medium", "long"))
    return rng.choices(("short", "medium", "long"), (0.05, 0.15, 0.8))[0]


def _cut_points(text: bytes, count: int, rng: random.Random) -> list[int]:
    """Places between sentences or lines (any byte where there are none nearby), in ascending order."""
    points = []
    for _ in range(count):
        position = rng.randrange(len(text) + 1)
        found = -1
        for mark in (b". ", b".\n", b"\n"):
            at = text.find(mark, position, position + 200)
            if at >= 0 and (found < 0 or at + len(mark) < found):
                found = at + len(mark)
        points.append(found if found >= 0 else position)
    return sorted(points)


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


def build_sequence(length: int, n_questions: int, rng: random.Random) -> Sequence:
    """One training sequence of exactly `length` tokens.

    Args:
        length: Tokens (bytes and end-of-sequence marks).
        n_questions: Questions wanted at the end; fewer where they do not fit in 45 % of the sequence.
        rng: Source of every choice.
    """
    maker = NeedleMaker(rng, style_for(length, rng))
    asked: list[Needle] = []
    used = 0
    # Half of the long sequences ask little: a model that always sees answers before its own leans on them.
    few = length > 2048 and rng.random() < 0.5
    many = (n_questions, n_questions, n_questions // 2, max(1, n_questions // 8))
    for _ in range(rng.choice((1, 1, 2, 4) if few else many)):
        needle = maker.make()
        cost = len(needle.statement) + len(needle.question) + len(needle.answer) + 4
        if used + cost > 0.8 * length:
            break
        used += cost
        asked.append(needle)
    tail_size = sum(len(n.question) + len(n.answer) + 3 for n in asked)
    statements = [n.statement for n in asked]
    room = length - tail_size - sum(len(s) + 1 for s in statements)
    distractors = rng.choice((0, 0, len(asked), 2 * len(asked), int(rng.random() * room / 200)))
    for _ in range(distractors):
        statement = maker.make().statement
        if room - len(statement) - 1 < 0.3 * (length - tail_size):
            break
        room -= len(statement) + 1
        statements.append(statement)
    rng.shuffle(statements)

    text = bytearray(haystack(max(room, 0), rng))
    text_classes = np.zeros(len(text), dtype=np.uint8)
    _copied_spans(text, text_classes, max(1, len(text) // 700), rng)
    introduction = rng.choice(_INTRODUCTIONS)
    if length > 1024 and len(introduction) < len(text):
        text[: len(introduction)] = introduction

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
    separator = rng.choice((b" ", b"\n"))
    for point, statement in zip(_cut_points(bytes(text), len(statements), rng), statements, strict=True):
        add(text[before:point], text_classes[before:point])
        add(statement + separator)
        before = point
    add(text[before:], text_classes[before:])

    rng.shuffle(asked)
    for needle in asked:
        add(b"\n" + needle.question)
        answer_classes = np.full(len(needle.answer) + 1, ANSWER, dtype=np.uint8)
        answer_classes[1] = FIRST
        add(needle.answer + b".", answer_classes)
        ids.append(np.array([EOS_ID], dtype=np.int64))
        classes.append(np.array([ANSWER], dtype=np.uint8))
    all_ids, all_classes = np.concatenate(ids), np.concatenate(classes)
    # Whatever rounding left over is cut from the front, where no question is.
    surplus = len(all_ids) - length
    if surplus < 0:
        filler = np.full(-surplus, ord(" ") + BYTE_OFFSET, dtype=np.int64)
        return Sequence(
            np.concatenate((filler, all_ids)), np.concatenate((np.zeros(-surplus, np.uint8), all_classes))
        )
    return Sequence(all_ids[surplus:], all_classes[surplus:])
