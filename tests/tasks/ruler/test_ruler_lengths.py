"""Prompts have exactly the tokens asked for, with any tokenizer."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hisa_eval.models import registry as models
from hisa_tasks.ruler import TASKS, RulerTask
from hisa_tasks.sample import Sample, Tokenizer

Make = Callable[..., RulerTask]
SETTINGS = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check_exact(sample: Sample, length: int, tokenizer: Tokenizer) -> None:
    """The law: prompt and answer room fill the length, and every span is inside."""
    assert len(tokenizer.encode(sample.prompt)) == sample.n_prompt_tokens
    assert sample.n_prompt_tokens + sample.max_new_tokens == sample.length == length
    assert all(0 <= start < end <= len(sample.prompt) for start, end in sample.evidence)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("length", [4096, 8192, 16384, 131072])
def test_nano_model(name: str, length: int, make_task: Make) -> None:
    tokenizer = models.tokenizer("nano")
    for index in range(1 if length > 16384 else 3):
        sample = make_task(name).sample(length, 0, index, tokenizer)
        check_exact(sample, length, tokenizer)
        assert sample.max_new_tokens == TASKS[name].max_new_tokens


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("length", [2048, 4096, 8191, 65536])
def test_bpe(
    name: str, length: int, make_task: Make, gpt_tokenizer: Tokenizer, greedy_tokenizer: Tokenizer
) -> None:
    for tokenizer in (gpt_tokenizer, greedy_tokenizer):
        check_exact(make_task(name).sample(length, 0, 0, tokenizer), length, tokenizer)


@SETTINGS
@given(
    name=st.sampled_from(list(TASKS)),
    length=st.integers(2800, 9000),
    index=st.integers(0, 99),
    seed=st.integers(0, 50),
    room=st.integers(1, 200),
)
def test_any_settings(
    name: str,
    length: int,
    index: int,
    seed: int,
    room: int,
    make_task: Make,
    byte_tokenizer: Tokenizer,
    gpt_tokenizer: Tokenizer,
) -> None:
    task = make_task(name, seed=seed, max_new_tokens=room)
    check_exact(task.sample(length, 0, index, gpt_tokenizer), length, gpt_tokenizer)
    check_exact(task.sample(length + 1000, 0, index, byte_tokenizer), length + 1000, byte_tokenizer)


@pytest.mark.parametrize("name", ["vt", "cwe", "fwe", "qa_1", "niah_multikey_3"])
def test_every_length_in_a_row(
    name: str, make_task: Make, byte_tokenizer: Tokenizer, gpt_tokenizer: Tokenizer
) -> None:
    for length in range(4090, 4120):
        check_exact(make_task(name).sample(length, 0, 0, byte_tokenizer), length, byte_tokenizer)
    for length in range(2100, 2110):
        check_exact(make_task(name).sample(length, 0, 0, gpt_tokenizer), length, gpt_tokenizer)


@pytest.mark.parametrize("name", TASKS)
def test_too_short_a_length_names_one_that_works(
    name: str, make_task: Make, byte_tokenizer: Tokenizer, gpt_tokenizer: Tokenizer
) -> None:
    for tokenizer in (byte_tokenizer, gpt_tokenizer):
        for short in (-5, 0, 150):
            with pytest.raises(
                ValueError,
                match=rf"^length {short} is too short for RULER task '{name}' .* – use at least \d+$",
            ) as error:
                make_task(name).sample(short, 0, 0, tokenizer)
            least = int(str(error.value).split()[-1])
            check_exact(make_task(name).sample(least, 0, 0, tokenizer), least, tokenizer)


@pytest.mark.parametrize("name", TASKS)
def test_128k_is_quick(name: str, make_task: Make, byte_tokenizer: Tokenizer) -> None:
    task = make_task(name)
    started = time.process_time()
    check_exact(task.sample(131072, 0, 7, byte_tokenizer), 131072, byte_tokenizer)
    assert time.process_time() - started < 2


def test_half_a_million_tokens(make_task: Make, gpt_tokenizer: Tokenizer) -> None:
    """Longer than the shipped words and the question file reach."""

    class Words:
        """A token a word or mark: cheap to count."""

        def encode(self, text: str) -> list[int]:
            return [0] * len(re.findall(r"\w+|[^\w\s]", text))

        def decode(self, ids: list[int]) -> str:
            return ""

    for name in ("cwe", "qa_1", "qa_2"):
        sample = make_task(name).sample(1 << 19, 0, 0, Words())
        assert len(Words().encode(sample.prompt)) + sample.max_new_tokens == 1 << 19
        assert all(reference in sample.prompt for reference in sample.references)
    assert make_task("cwe").sample(1 << 19, 0, 0, Words()).meta["n_invented_words"] > 10_000


def test_a_tokenizer_that_cannot_count_is_refused(make_task: Make) -> None:
    class OnlyEven:
        def encode(self, text: str) -> list[int]:
            return [0] * (len(text) // 2 * 2)

        def decode(self, ids: list[int]) -> str:
            return ""

    for name in ("vt", "cwe", "fwe", "qa_2"):
        with pytest.raises(
            ValueError, match=r"exactly 8001 prompt tokens with this tokenizer – ask for a length"
        ):
            make_task(name, max_new_tokens=1).sample(8002, 0, 0, OnlyEven())
