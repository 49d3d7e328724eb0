"""What stands in a context, by RULER's rules: chains, frequencies, words, depths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from hisa_tasks.niah.haystacks.noise import NOISE
from hisa_tasks.ruler import TASKS, RulerTask
from hisa_tasks.ruler.base import Place
from hisa_tasks.ruler.common_words import CommonWords
from hisa_tasks.ruler.frequent_words import FrequentWords, counts, least_words, zeta
from hisa_tasks.ruler.retrieval import GRID
from hisa_tasks.ruler.texts import english_words
from hisa_tasks.ruler.variable_tracking import VariableTracking
from hisa_tasks.sample import Sample, Tokenizer

Make = Callable[..., RulerTask]


class WordTokens:
    """A token a word or mark."""

    def encode(self, text: str) -> list[int]:
        return [0] * len(re.findall(r"\w+|[^\w\s]", text))

    def decode(self, ids: list[int]) -> str:
        return ""


def vt_sections(prompt: str) -> list[tuple[list[str], str]]:
    """Lines of the context and question of the example and of the task."""
    parts = prompt.split(
        "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n"
    )
    return [(part.split("\nQuestion:")[0].split("\n"), part.split("\nQuestion:")[1]) for part in parts[1:]]


def cwe_entries(prompt: str) -> list[list[str]]:
    """Entries of the lists of the example and of the task."""
    parts = prompt.split("Memorize the ones that appear most often.\n")[1:]
    return [re.split(r"(?:^| )\d+\. ", part.split("\nQuestion:")[0])[1:] for part in parts]


def test_variable_tracking(byte_tokenizer: Tokenizer, make_task: Make) -> None:
    places = []
    for index in range(20):
        sample = make_task("vt").sample(8192, 0, index, byte_tokenizer)
        (example, example_question), (lines, question) = vt_sections(sample.prompt)
        chain = [line for line in lines if line.startswith("VAR")]
        assert chain[0] == f"VAR {sample.references[0]} = {sample.meta['value']}"
        assert chain[1:] == [
            f"VAR {name} = VAR {source} "
            for source, name in zip(sample.references, sample.references[1:], strict=False)
        ]
        assert all(re.fullmatch("[A-Z]{5}", name) for name in sample.references)
        assert len(set(sample.references)) == 5
        assert 10_000 <= int(sample.meta["value"]) <= 99_998
        noise = [line for line in lines if not line.startswith("VAR")]
        assert noise[:-1] == [NOISE] * (len(noise) - 1)
        assert lines[-1] == noise[-1]
        assert sample.meta["n_noise"] == len(noise)
        assert [sample.prompt[slice(*span)] for span in sample.evidence] == [line.strip() for line in chain]
        assert question == (
            f" Find all variables that are assigned the value {sample.meta['value']} in the text above."
            " Answer: According to the chain(s) of variable assignment in the text above, 5 variables are "
            f"assigned the value {sample.meta['value']}, they are: "
        )
        names = re.findall(r"VAR (\w+) =", "\n".join(example))
        assert all(re.fullmatch("[A-Z]{3}", name) for name in names)
        assert example_question.endswith(f"they are:  {' '.join(names)}\n\n")
        assert [line for line in example if not line.startswith("VAR")] == [NOISE] * 5
        places += [lines.index(statement) / len(lines) for statement in chain]
    assert min(places) < 0.1
    assert max(places) > 0.85


def test_variable_tracking_example_has_500_tokens(make_task: Make) -> None:
    sample = make_task("vt").sample(8192, 0, 0, WordTokens())
    example = sample.prompt.split("\n\nMemorize")[0]
    answer = len(WordTokens().encode(example.rpartition("they are:")[2]))
    assert 500 - len(WordTokens().encode(NOISE)) < len(WordTokens().encode(example)) - answer <= 500


def test_several_chains_are_told_apart() -> None:
    recipe = VariableTracking(n_chains=3, n_hops=2)
    built = recipe.build(Place("vt", 0, 4096, 0), 4096, count_words)
    (example, _), (lines, _) = vt_sections(built.text)
    for part in (example, lines):
        values = re.findall(r"VAR \w+ = (\d+)", "\n".join(part))
        assert len(set(values)) == 3
        assert sum(line.startswith("VAR") for line in part) == 9
    assert len(built.references) == len(built.evidence) == 3
    for wrong in ({"n_chains": 0}, {"n_hops": 0}):
        with pytest.raises(ValueError, match="use at least 1 each"):
            VariableTracking(**wrong)


@pytest.mark.parametrize(("length", "often", "example"), [(2600, (6, 1), (3, 1)), (8192, (30, 3), (10, 3))])
def test_common_words(
    length: int, often: tuple[int, int], example: tuple[int, int], gpt_tokenizer: Tokenizer, make_task: Make
) -> None:
    known = set(english_words())
    orders = set()
    for index in range(10):
        sample = make_task("cwe").sample(length, 0, index, gpt_tokenizer)
        shown, asked = cwe_entries(sample.prompt)
        for entries, (common, uncommon), n_words in (
            (shown, example, 20 + 20 * (often[1] > 1)),
            (asked, often, None),
        ):
            tally = Counter(entries)
            rest = {n for _, n in tally.most_common()[10:]}
            assert [n for _, n in tally.most_common(10)] == [common] * 10
            assert rest <= {uncommon, 1}
            assert set(tally) <= known
            assert n_words in (None, len(tally))
        tally = Counter(asked)
        assert {word for word, n in tally.items() if n == often[0]} == set(sample.references)
        if often[1] > 1:
            single = [word for word, n in tally.items() if n == 1]
            assert asked[-len(single) :] == single if single else True
            assert len(single) == sample.meta["n_single_words"] <= 8
        assert len(tally) == sample.meta["n_words"]
        assert sample.meta["frequencies"] == list(often)
        for reference in sample.references:
            assert not any(reference.lower() in word.lower() for word in tally if word != reference)
        orders.add(tuple(asked[:10]))
        numbers = [int(n) for n in re.findall(r"(?:^| )(\d+)\. ", sample.prompt.split("often.\n")[2])]
        assert numbers[: len(asked)] == list(range(1, len(asked) + 1))
    assert len(orders) == 10


def test_common_words_fall_back_where_there_is_no_room(byte_tokenizer: Tokenizer, make_task: Make) -> None:
    assert make_task("cwe").sample(4096, 0, 0, byte_tokenizer).meta["frequencies"] == [6, 1]
    for index in range(30):
        assert make_task("cwe").sample(8192, 0, index, byte_tokenizer).meta["frequencies"] == [30, 3]


def count_words(text: str) -> int:
    return len(WordTokens().encode(text))


def test_words_beyond_the_list_are_invented() -> None:
    built = CommonWords().build(Place("cwe", 0, 1 << 18, 0), 1 << 18, count_words)
    _, asked = cwe_entries(built.text)
    invented = set(asked) - set(english_words())
    assert abs(len(invented) - built.meta["n_invented_words"]) <= built.meta["n_single_words"]
    assert len(invented) > 5000
    assert all(re.fullmatch("[a-z]{6,}(-[a-z]{6,})?", word) for word in invented)


@pytest.mark.parametrize("length", [2048, 8192, 32768])
def test_frequent_words(length: int, byte_tokenizer: Tokenizer, make_task: Make) -> None:
    for index in range(5):
        sample = make_task("fwe").sample(length, 0, index, byte_tokenizer)
        text = sample.prompt.split("coded words. ", 1)[1].split("\nQuestion:")[0]
        words = text.split(" ")
        tally = Counter(word for word in words if word.strip("."))
        assert all(re.fullmatch("[a-z]{6}", word) for word in tally)
        ranked = [n for _, n in tally.most_common()]
        assert [word for word, _ in tally.most_common(3)] == list(sample.references)
        assert ranked[0] > ranked[1] > ranked[2] > ranked[3]
        assert ranked[:4] == sample.meta["frequencies"][1:]
        dots = [word for word in words if not word.strip(".")]
        assert 0 < len(dots) - sample.meta["frequencies"][0] < 30
        assert [word for word in dots[:-1] if word != "..."] == []
        n_coded = (length - 50) // 50
        near = range(int(4 * zeta(2.0) * ranked[0]), int(4 * zeta(2.0) * (ranked[0] + 1)) + 1)
        alike = [n for n in near if [c for c in counts(n, n_coded, 2.0)[1:] if c] == ranked]
        assert alike, "the frequencies are not those of the distribution"


def test_distribution() -> None:
    assert zeta(2.0) == pytest.approx(1.6449340668482264, abs=1e-15)
    assert zeta(1.5) == pytest.approx(2.612375348685488, abs=1e-14)
    assert zeta(4.0) == pytest.approx(1.0823232337111382, abs=1e-15)
    # Of the official generator, for 80 coded words and 1808 words.
    assert counts(1808, 80, 2.0)[:6] == [1099, 274, 122, 68, 43, 30]
    for alpha in (1.5, 2.0, 3.0):
        for n_words in range(least_words(alpha), least_words(alpha) + 200):
            first = counts(n_words, 5, alpha)
            assert first[1] > first[2] > first[3] > first[4]
    for wrong in ({"alpha": 1.0}, {"n_letters": 2}):
        with pytest.raises(ValueError, match="use an alpha above 1"):
            FrequentWords(**wrong)


def test_retrieval_tasks_differ_as_they_should(gpt_tokenizer: Tokenizer, make_task: Make) -> None:
    def sample(name: str) -> Sample:
        return make_task(name).sample(4096, 0, 0, gpt_tokenizer)

    uuid = re.compile("[0-9a-f]-[0-9a-f]{4}-4")
    facts = {}
    for name in (name for name in TASKS if name.startswith("niah_")):
        one = sample(name)
        facts[name.removeprefix("niah_")] = (
            one.meta["haystack"],
            len(one.meta["keys"]),
            len(one.references),
            one.meta["n_distractors"],
            bool(uuid.search(one.references[0])),
            bool(uuid.search(one.meta["keys"][0])),
        )
    assert facts == {
        "single_1": ("noise", 1, 1, 0, False, False),
        "single_2": ("prose", 1, 1, 0, False, False),
        "single_3": ("prose", 1, 1, 0, True, False),
        "multikey_1": ("prose", 1, 1, 3, False, False),
        "multikey_2": ("needles", 1, 1, 0, False, False),
        "multikey_3": ("needles", 1, 1, 0, True, True),
        "multivalue": ("prose", 1, 4, 0, False, False),
        "multiquery": ("prose", 4, 4, 0, False, False),
    }


def test_essays_are_one_line_and_needles_stand_at_rulers_depths(
    byte_tokenizer: Tokenizer, make_task: Make
) -> None:
    assert GRID[:5] == (0, 3, 5, 8, 10)
    assert (len(set(GRID)), GRID[-1]) == (40, 100)
    reached = []
    for index in range(40):
        sample = make_task("niah_multikey_1").sample(8192, 0, index, byte_tokenizer)
        context = sample.prompt.split("afterwards.\n")[1].split("\nWhat is")[0]
        assert "\n" not in context
        assert "  " not in context
        reached.append(sample.meta["depth_actual"])
        assert min(abs(depth - sample.meta["depth_actual"]) for depth in GRID) < 1.5
        assert len(re.findall("One of the special magic numbers for", context)) == 4
    assert min(reached) < 10
    assert max(reached) > 90
    assert len({round(depth) for depth in reached}) > 20


def test_settings_of_a_recipe_change_its_description() -> None:
    recipe = CommonWords()
    assert recipe.describe() != replace(recipe, n_common=5).describe()
