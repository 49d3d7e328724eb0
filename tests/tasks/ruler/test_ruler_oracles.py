"""Every task can be solved from its context alone, and wrong answers score nothing.

An oracle gets the prompt and nothing else. For each task there is one that reads carefully, and one or more
that make a certain mistake.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable

import pytest

from hisa_tasks.ruler import TASKS, RulerTask, score
from hisa_tasks.sample import Tokenizer

N_SAMPLES = 100
Oracle = Callable[[str], str]
NEEDLE = re.compile(r"One of the special magic \w+ for (\S+) is: (\S+)\.(?=\s)")
ASKED = re.compile(r"\nWhat (?:is|are all) the special magic \w+ for (.*) mentioned in the provided text\?")


def needles_of(prompt: str) -> tuple[list[str], list[tuple[str, str]]]:
    keys = re.split(r", and |, ", ASKED.findall(prompt)[0])
    return keys, NEEDLE.findall(prompt)


def read_needles(prompt: str) -> str:
    keys, needles = needles_of(prompt)
    return ", ".join(value for key, value in needles if key in keys)


def other_needles(prompt: str) -> str:
    keys, needles = needles_of(prompt)
    return ", ".join(value for key, value in needles if key not in keys) or "none"


def misread_needles(prompt: str) -> str:
    """The last character of every value is wrong."""
    keys, needles = needles_of(prompt)
    return ", ".join(value[:-1] + "x" for key, value in needles if key in keys)


def sections(prompt: str, start: str) -> tuple[str, str]:
    """Worked example and question of a prompt whose template begins so."""
    _, example, question = prompt.split(start)
    return example, question


def variables(section: str) -> list[str]:
    """All names that the section's value reaches, by following assignments to the end."""
    value = re.findall(r"that are assigned the value (\d+) in the text above", section)[0]
    context = section.split("\nQuestion:")[0]
    known = re.findall(rf"VAR (\w+) = {value}\b", context)
    links = re.findall(r"VAR (\w+) = VAR (\w+)", context)
    while new := [name for name, source in links if source in known and name not in known]:
        known += new
    return known


def track(prompt: str) -> str:
    return " ".join(variables(sections(prompt, "Memorize and track")[1]))


def track_example(prompt: str) -> str:
    return " ".join(variables(sections(prompt, "Memorize and track")[0]))


def list_counts(section: str) -> Counter[str]:
    listing = section.split("\n", 1)[1].split("\nQuestion:")[0]
    return Counter(re.split(r" ?\b\d+\. ", listing)[1:])


def common(prompt: str) -> str:
    counts = list_counts(sections(prompt, "Below is a numbered list")[1])
    return " ".join(f"{i}. {word}" for i, (word, _) in enumerate(counts.most_common(10), 1))


def uncommon(prompt: str) -> str:
    counts = list_counts(sections(prompt, "Below is a numbered list")[1])
    return " ".join(word for word, _ in counts.most_common()[10:])


def common_of_example(prompt: str) -> str:
    counts = list_counts(sections(prompt, "Below is a numbered list")[0])
    return " ".join(word for word, _ in counts.most_common(10))


def coded(prompt: str) -> list[str]:
    text = prompt.split("coded words. ", 1)[1].split("\nQuestion:")[0]
    return [word for word, _ in Counter(w for w in text.split() if w.strip(".")).most_common()]


def frequent(prompt: str) -> str:
    return " ".join(coded(prompt)[:3])


def next_frequent(prompt: str) -> str:
    return " ".join(coded(prompt)[3:])


def keeper(prompt: str) -> str:
    hall = re.findall(r"keeper of hall (\d+)(?: play)?\?", prompt)[-1]
    return re.findall(rf"The keeper of hall {hall} is ([A-Z]\w* [A-Z]\w*)", prompt)[0]


def plays(prompt: str) -> str:
    return re.findall(rf"{keeper(prompt)} plays the ([A-Z]\w* [A-Z]\w*)", prompt)[0]


def misspelt(oracle: Oracle) -> Oracle:
    """The oracle's answer with every letter moved on by one."""
    letters = string.ascii_lowercase
    moved = str.maketrans(letters, letters[1:] + letters[0])
    return lambda prompt: oracle(prompt).lower().translate(moved)


RIGHT: dict[str, Oracle] = {
    **dict.fromkeys((name for name in TASKS if name.startswith("niah_")), read_needles),
    "vt": track,
    "cwe": common,
    "fwe": frequent,
    "qa_1": keeper,
    "qa_2": plays,
}
WRONG: dict[str, tuple[Oracle, ...]] = {
    **dict.fromkeys((name for name in TASKS if name.startswith("niah_")), (other_needles, misread_needles)),
    "vt": (track_example, misspelt(track)),
    "cwe": (uncommon, common_of_example),
    "fwe": (next_frequent, misspelt(frequent)),
    "qa_1": (misspelt(keeper), lambda prompt: ""),
    "qa_2": (keeper, misspelt(plays)),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_reader_scores_1_and_a_misreader_0(
    name: str, byte_tokenizer: Tokenizer, make_task: Callable[..., RulerTask]
) -> None:
    task = make_task(name, seed=3)
    for index in range(N_SAMPLES):
        sample = task.sample(8192, 0, index, byte_tokenizer)
        assert score(sample, RIGHT[name](sample.prompt)) == 1.0, sample.id
        assert score(sample, RIGHT[name](sample.prompt).upper() + "\n\nQuestion:") == 1.0
        for wrong in WRONG[name]:
            assert score(sample, wrong(sample.prompt)) == 0.0, (sample.id, wrong(sample.prompt))
        assert score(sample, "") == 0.0


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("length", [2300, 32768])
def test_a_reader_scores_1_at_other_lengths_with_other_tokens(
    name: str, length: int, gpt_tokenizer: Tokenizer, make_task: Callable[..., RulerTask]
) -> None:
    for index in range(5):
        sample = make_task(name).sample(length, 0, index, gpt_tokenizer)
        assert score(sample, RIGHT[name](sample.prompt)) == 1.0, sample.id


@pytest.mark.parametrize("name", TASKS)
def test_without_its_evidence_a_sample_cannot_be_answered(
    name: str, byte_tokenizer: Tokenizer, make_task: Callable[..., RulerTask]
) -> None:
    for index in range(10):
        sample = make_task(name).sample(8192, 0, index, byte_tokenizer)
        if name in ("cwe", "fwe"):
            assert sample.evidence == ()
            continue
        assert list(sample.evidence) == sorted(set(sample.evidence)) or name.startswith("niah_")
        blind = list(sample.prompt)
        for start, end in sample.evidence:
            blind[start:end] = "?" * (end - start)
        text = "".join(blind)
        assert all(reference not in text for reference in sample.references) or name.startswith("qa_")
        try:
            answer = RIGHT[name](text)
        except IndexError:
            answer = ""
        assert score(sample, answer) == 0.0


@pytest.mark.parametrize("name", ["niah_multivalue", "niah_multiquery", "vt", "cwe", "fwe"])
def test_part_of_the_answers_scores_its_share(
    name: str, byte_tokenizer: Tokenizer, make_task: Callable[..., RulerTask]
) -> None:
    sample = make_task(name).sample(8192, 0, 0, byte_tokenizer)
    n = len(sample.references)
    assert n == {"niah_multivalue": 4, "niah_multiquery": 4, "vt": 5, "cwe": 10, "fwe": 3}[name]
    for k in range(n + 1):
        assert score(sample, " ".join(sample.references[:k])) == pytest.approx(k / n)


def test_one_of_several_references_is_enough_for_a_question(
    byte_tokenizer: Tokenizer, make_task: Callable[..., RulerTask]
) -> None:
    sample = make_task("qa_1").sample(8192, 0, 0, byte_tokenizer)
    assert len(sample.references) == 2
    assert score(sample, f"It is {sample.references[1]}.") == 1.0
    assert sample.references[0] not in f"It is {sample.references[1]}."
