"""Prompts of mini, word for word."""

from __future__ import annotations

import hashlib

import pytest

from hisa_tasks.longbench.catalog import MINI
from hisa_tasks.longbench.prompt import build_prompt, template
from hisa_tasks.mini import MiniTask
from hisa_tasks.mini.templates import TEMPLATES
from hisa_tasks.sample import Tokenizer

FIRST_ROWS = {
    "lookup": "c9cdf8f140f26d81f605621c4034b78e12bcaff9e7ccac2a8ac722c8b16a1d1a",
    "two_documents": "56d49d9f91b46289dd327d88e96f053e6e0291cdd3fcc756d57aac4a687562af",
    "main_point": "ebfe961f13f871cd5f706df8ea11a2532c72367f16e0dca7f36ecce4461677c8",
    "label": "e907ef754b20a76a23a8d0c2d0bbed8b46fd81f4bddd9688407bbb21d7efb671",
    "passage": "eef60dd76f3388829ec3f936ad4f9c6608282ba81979e96f3114db256c840587",
    "count": "5abb2245928835e31f69094739d8656882abb08e5bef7e728da137dcbe1e4c95",
    "call": "dd0188f51f60493436732941e5c79ae36df079ee0a426bf39afd869387058717",
}
"""SHA-256 of the prompt of each data set's first row."""


@pytest.mark.parametrize("name", MINI)
def test_the_first_prompts_are_pinned(name: str, byte_tokenizer: Tokenizer) -> None:
    sample = next(MiniTask((name,)).iterate(byte_tokenizer))
    assert hashlib.sha256(sample.prompt.encode()).hexdigest() == FIRST_ROWS[name]


def test_every_data_set_has_a_template_with_the_question_behind_the_context() -> None:
    assert set(TEMPLATES) == set(MINI)
    for name in MINI:
        assert template(name) == TEMPLATES[name]
        assert template(name).endswith("{context}\n\n{input}")


def test_ends_word_for_word(byte_tokenizer: Tokenizer) -> None:
    task = MiniTask(("two_documents", "label", "call"))
    ends = [
        task.sample(one, task.rows(one)[0], byte_tokenizer).prompt.split("\n\n")[-1] for one in task.names
    ]
    assert ends == [
        "Look up the envoy of Jolkerz, then the harbour which that person sails from.\n"
        "Reply: The envoy of Jolkerz and the harbour are",
        "Utterance: please bring back the yylkew\nIntent:",
        "dweindrund = flurvund_yoavrumb(",
    ]


def test_one_prompt_word_for_word() -> None:
    assert build_prompt("count", "How often?\nReply: The count is", "A bell rang.") == (
        "Mind the lamps in this tale.\n\nA bell rang.\n\nHow often?\nReply: The count is"
    )
