"""Prompts have exactly the tokens asked for, with any tokenizer, at any depth."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hisa_tasks.niah import NiahTask
from hisa_tasks.niah.needles.catalog import FAMILIES
from hisa_tasks.sample import Sample, Tokenizer

NEEDLES = tuple(FAMILIES)
HAYSTACKS = ("prose", "noise", "needles")
SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check_exact(sample: Sample, length: int, tokenizer: Tokenizer) -> None:
    """The law: prompt and answer room fill the length, and every span is where it says."""
    assert len(tokenizer.encode(sample.prompt)) == sample.n_prompt_tokens
    assert sample.n_prompt_tokens + sample.max_new_tokens == sample.length == length
    for (start, end), (first, last) in zip(sample.meta["needle_spans"], sample.evidence, strict=True):
        assert start < first < last < end
        assert sample.prompt[end - 1] == "."


@SETTINGS
@given(
    needle=st.sampled_from(NEEDLES),
    haystack=st.sampled_from(HAYSTACKS),
    length=st.integers(1200, 9000),
    depth=st.floats(0, 100),
    index=st.integers(0, 3),
    room=st.integers(1, 200),
)
def test_bytes(
    needle: str, haystack: str, length: int, depth: float, index: int, room: int, byte_tokenizer: Tokenizer
) -> None:
    sample = NiahTask(needle, haystack, max_new_tokens=room).sample(length, depth, index, byte_tokenizer)
    check_exact(sample, length, byte_tokenizer)


@SETTINGS
@given(
    needle=st.sampled_from(NEEDLES),
    haystack=st.sampled_from(HAYSTACKS),
    length=st.integers(600, 5000),
    depth=st.sampled_from((0, 1, 33.3, 50, 99, 100)),
    seed=st.integers(0, 50),
)
def test_bpe_splitting_at_words(
    needle: str, haystack: str, length: int, depth: float, seed: int, gpt_tokenizer: Tokenizer
) -> None:
    check_exact(
        NiahTask(needle, haystack, seed).sample(length, depth, 0, gpt_tokenizer), length, gpt_tokenizer
    )


@SETTINGS
@given(
    needle=st.sampled_from(NEEDLES),
    haystack=st.sampled_from(HAYSTACKS),
    length=st.integers(600, 4000),
    depth=st.sampled_from((0, 1, 33.3, 50, 99, 100)),
    seed=st.integers(0, 50),
)
def test_bpe_merging_across_words(
    needle: str, haystack: str, length: int, depth: float, seed: int, greedy_tokenizer: Tokenizer
) -> None:
    check_exact(
        NiahTask(needle, haystack, seed).sample(length, depth, 0, greedy_tokenizer), length, greedy_tokenizer
    )


@pytest.mark.parametrize("haystack", HAYSTACKS)
def test_every_length_in_a_row(haystack: str, byte_tokenizer: Tokenizer, gpt_tokenizer: Tokenizer) -> None:
    task = NiahTask("multikey", haystack)
    for length in range(1500, 1550):
        check_exact(task.sample(length, 50, 0, byte_tokenizer), length, byte_tokenizer)
    for length in range(700, 720):
        check_exact(task.sample(length, 50, 0, gpt_tokenizer), length, gpt_tokenizer)


@pytest.mark.parametrize("needle", NEEDLES)
def test_too_short_a_length_names_one_that_works(
    needle: str, byte_tokenizer: Tokenizer, gpt_tokenizer: Tokenizer
) -> None:
    task = NiahTask(needle)
    for tokenizer, depth, short in itertools.product((byte_tokenizer, gpt_tokenizer), (0, 100), (-5, 0, 200)):
        with pytest.raises(
            ValueError, match=rf"^length {short} is too short .* – use at least \d+$"
        ) as error:
            task.sample(short, depth, 0, tokenizer)
        least = int(str(error.value).split()[-1])
        sample = task.sample(least, depth, 0, tokenizer)
        check_exact(sample, least, tokenizer)
        context = sample.prompt.rpartition("afterwards.\n")[2].rpartition("\nWhat ")[0]
        hay = re.sub(r"One of the special magic \w+ for \S+ is: \S+\. ?|The best thing.*day\. ?", "", context)
        assert len(tokenizer.encode(hay)) < 64


@pytest.mark.parametrize("depth", [0, 37, 100])
def test_long_contexts_are_quick(depth: float, byte_tokenizer: Tokenizer) -> None:
    task = NiahTask("multikey", seed=depth)
    started = time.process_time()
    sample = task.sample(131072, depth, 0, byte_tokenizer)
    seconds = time.process_time() - started
    check_exact(sample, 131072, byte_tokenizer)
    assert seconds < 0.5


def test_a_million_tokens(byte_tokenizer: Tokenizer) -> None:
    sample = NiahTask("multikey").sample(1 << 20, 62.5, 0, byte_tokenizer)
    check_exact(sample, 1 << 20, byte_tokenizer)
    assert sample.meta["depth_actual"] == pytest.approx(62.5, abs=0.05)


def test_long_context_with_bpe_takes_few_encodings(gpt_tokenizer: Tokenizer) -> None:
    class Counting:
        characters = 0

        def encode(self, text: str) -> list[int]:
            self.characters += len(text)
            return gpt_tokenizer.encode(text)

        def decode(self, ids: list[int]) -> str:
            return gpt_tokenizer.decode(ids)

    tokenizer = Counting()
    sample = NiahTask("multikey").sample(32768, 50, 0, tokenizer)
    assert tokenizer.characters < 6 * len(sample.prompt)
    check_exact(sample, 32768, gpt_tokenizer)


def test_folder_of_awkward_text(tmp_path: Path, byte_tokenizer: Tokenizer, gpt_tokenizer: Tokenizer) -> None:
    (tmp_path / "a.txt").write_text("海は広い。山は高い！" * 400, "utf-8")
    (tmp_path / "b.txt").write_text("word " * 3000, "utf-8")
    (tmp_path / "c.md").write_text("x" * 5000 + "\n\n\n\n" + "Fin. " + "é" * 300, "utf-8")
    task = NiahTask("multikey", str(tmp_path))
    for length, depth, index in itertools.product((1500, 9001), (0, 50, 100), range(2)):
        for tokenizer in (byte_tokenizer, gpt_tokenizer):
            check_exact(task.sample(length, depth, index, tokenizer), length, tokenizer)


def test_a_tokenizer_that_cannot_count_is_refused() -> None:
    class OnlyEven:
        def encode(self, text: str) -> list[int]:
            return [0] * (len(text) // 2 * 2)

        def decode(self, ids: list[int]) -> str:
            return ""

    with pytest.raises(
        ValueError, match=r"exactly 2001 prompt tokens with this tokenizer – ask for a length"
    ):
        NiahTask(max_new_tokens=1).sample(2002, 50, 0, OnlyEven())
