"""The mini suite's sentences, names and words are held out from training."""

from __future__ import annotations

import random
import re

import pytest

from hisa_eval.models.nano.architecture import BYTE_OFFSET
from hisa_eval.models.nano.training.exercise import Maker
from hisa_eval.models.nano.training.kinds import KINDS
from hisa_eval.models.nano.training.sequences import build_sequence
from hisa_eval.models.nano.training.text import english_vocabulary
from hisa_tasks.longbench.catalog import MINI
from hisa_tasks.mini.rows import contexts
from hisa_tasks.mini.templates import TEMPLATES

HELD_OUT = [
    "By all accounts, the",
    "It was settled long ago that",
    "Travellers report that",
    "Going by the text",
    "In those years, the",
    "The papers agree that",
    "sails from",
    "which that person",
    "The upshot concerning",
    "Put the matter of",
    "Utterance:",
    "Intent:",
    "is headed",
    "Reply:",
    "At dusk a boy",
    " lit?",
    "Gives back what is left of",
    "will be asked about",
]
"""Wording of the suite. "The X of Y is", "Paragraph 7" and how answers are written down are shared."""


def test_the_list_is_that_of_the_suite() -> None:
    text = "".join(
        TEMPLATES[name].format(context=one.context.text, input=question.input)
        for name in MINI
        for one in contexts(name)
        if one.size == 4096
        for question in one.context.questions
    )
    assert [words for words in HELD_OUT if words not in text] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_training_has_none_of_the_wording(kind: type[Maker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hisa_eval.models.nano.training.sequences.KINDS", {kind: 1.0})
    text = b"".join(
        bytes(max(int(i) - BYTE_OFFSET, 0) for i in build_sequence(4096, 8, random.Random(seed), 1.0).ids)
        for seed in range(12)
    ).decode("utf-8", "replace")
    assert [words for words in HELD_OUT if words in text] == []


def test_no_name_of_the_suite_is_a_training_word() -> None:
    known = set(english_vocabulary())
    names = {
        word.lower()
        for name in ("lookup", "two_documents", "count")
        for one in contexts(name)
        for question in one.context.questions
        for answer in (*question.answers, question.input.split(" of ")[-1].split()[0])
        for word in re.findall(r"[A-Za-z]+", answer)
    }
    names -= {"the"}
    assert len(names) > 60
    assert not names & known
