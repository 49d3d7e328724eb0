"""What a prompt says, where its needles stand, and what samples of one group share."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import pytest

from hisa_tasks.niah import NiahTask
from hisa_tasks.niah.needles.catalog import FAMILIES
from hisa_tasks.sample import Sample, Tokenizer

GOLDEN = Path(__file__).parent / "golden"
EXAMPLE = Path(__file__).parents[2] / "configs" / "needles" / "example.yaml"
NEEDLES = tuple(FAMILIES)
HAYSTACKS = ("prose", "noise", "needles")
DEPTHS = (0, 12.5, 50, 75, 100)

# Of the prompt at 4096 byte tokens, depth 37, sample 1, seed 7, on prose.
SHA256 = {
    "single-number": "a35b844271367b1ed2484c66e13e729e3f0ab4652677342037a9a1b5b7b2b11b",
    "single-word": "9d22cb21081955387c0276d1781a4aa80da80c43d28d703b1762d21c4e59b6a2",
    "single-uuid": "3c0f89ec755ab172ce84ad682b68888b98ca8fa38d3a2dea32af09f29ea54eea",
    "multikey": "a206ea2bf670f832ef657cac4111b452b7d98adaef6570ac774d4874bd5ccc78",
    "multivalue": "f068e5c5751e5350b8d66a8c6d52a2e7fbafdb3a9306d7dc00b0bddc804ef80d",
    "multiquery": "86e15641819c08959a5fa0a37b7c9d82e5b651f0431017040faeefc04f7d97a3",
    "san-francisco": "3127427184c45bfa9faeb1783df56e3e0a129872649d02e54935406482ae0f39",
}


def without_target(sample: Sample) -> str:
    """The prompt with its queried needle, and the white space it brought, taken out."""
    ((start, end),) = sample.meta["needle_spans"]
    prompt = sample.prompt
    if sample.meta["depth"] == 100:
        return prompt[: start - 1] + prompt[end:]
    return prompt[:start] + prompt[end + 1 :]


def shared_prefix(one: str, other: str) -> int:
    unequal = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(unequal, min(len(one), len(other)))


@pytest.mark.parametrize("needle", NEEDLES)
def test_golden_prompt(needle: str, byte_tokenizer: Tokenizer) -> None:
    sample = NiahTask(needle, seed=1).sample(1300, 50, 0, byte_tokenizer)
    golden = (GOLDEN / f"niah-{needle}.txt").read_text("utf-8")
    references, _, prompt = golden.partition("\n----\n")
    assert sample.prompt == prompt
    assert list(sample.references) == references.split("\n")


@pytest.mark.parametrize("needle", NEEDLES)
def test_pinned_prompt(needle: str, byte_tokenizer: Tokenizer) -> None:
    prompt = NiahTask(needle, seed=7).sample(4096, 37, 1, byte_tokenizer).prompt
    assert hashlib.sha256(prompt.encode("utf-8")).hexdigest() == SHA256[needle]


@pytest.mark.parametrize(("needle", "haystack"), list(itertools.product(NEEDLES, HAYSTACKS)))
def test_evidence_points_at_the_values(needle: str, haystack: str, byte_tokenizer: Tokenizer) -> None:
    task = NiahTask(needle, haystack, n_distractors=None if needle == "san-francisco" else 5)
    for depth, index in itertools.product(DEPTHS, range(3)):
        sample = task.sample(6000, depth, index, byte_tokenizer)
        values = [sample.prompt[start:end] for start, end in sample.evidence]
        if needle == "san-francisco":
            assert values == ["eat a sandwich and sit in Dolores Park on a sunny day"]
            assert all(fact in values[0] for fact in sample.references)
        else:
            assert tuple(values) == sample.references
        for value, (start, end) in zip(values, sample.meta["needle_spans"], strict=True):
            sentence = sample.prompt[start:end]
            assert sentence.startswith(
                ("One of the special magic ", "The best thing to do in San Francisco ")
            )
            assert sentence.endswith(f"{value}.")
            assert sample.prompt.count(value) == 1
        for key in sample.meta["keys"]:
            assert sum(key in sample.prompt[start:end] for start, end in sample.meta["needle_spans"]) >= 1


@pytest.mark.parametrize(("needle", "haystack"), list(itertools.product(NEEDLES, HAYSTACKS)))
def test_needles_stand_between_sentences(needle: str, haystack: str, byte_tokenizer: Tokenizer) -> None:
    task = NiahTask(needle, haystack)
    for depth in DEPTHS:
        sample = task.sample(6000, depth, 0, byte_tokenizer)
        for start, end in sample.meta["needle_spans"]:
            before, after = sample.prompt[:start].rstrip(" \n"), sample.prompt[end:]
            assert not before or before.endswith(".")
            assert after[0] in " \n"
            assert after[:2] != "  "
            assert after.lstrip(" \n")[0].isupper()
            assert start == len(before) or sample.prompt[len(before) : start] in (" ", "\n", "\n\n")


@pytest.mark.parametrize("haystack", HAYSTACKS)
@pytest.mark.parametrize("depth", [0, 3.7, 20, 50, 81.25, 99, 100])
def test_depth_is_reached_within_a_sentence(haystack: str, depth: float, byte_tokenizer: Tokenizer) -> None:
    for index in range(4):
        sample = NiahTask("single-uuid", haystack).sample(8192, depth, index, byte_tokenizer)
        hay = without_target(sample).partition("afterwards.\n")[2].partition("\nWhat is the special")[0]
        longest = max(len(part) for part in hay.replace("\n", ". ").split(". ")) + 2
        longest = max(longest, 90)
        assert abs(sample.meta["depth_actual"] - depth) <= 100 * (longest / 2 + 1) / len(hay)
        before = sample.prompt[: sample.meta["needle_spans"][0][0]].partition("afterwards.\n")[2]
        reached = len(before) - (depth == 100)
        assert sample.meta["depth_actual"] == pytest.approx(100 * reached / len(hay), abs=1e-3)
    assert sample.meta["depth"] == depth
    if depth in (0, 100):
        assert sample.meta["depth_actual"] == depth


@pytest.mark.parametrize(
    ("needle", "haystack"), list(itertools.product(("single-number", "multikey"), HAYSTACKS))
)
def test_depths_share_text_and_prefix(needle: str, haystack: str, byte_tokenizer: Tokenizer) -> None:
    task = NiahTask(needle, haystack)
    samples = [task.sample(9000, depth, 2, byte_tokenizer) for depth in DEPTHS]
    assert len({without_target(sample) for sample in samples}) == 1
    assert len({sample.group for sample in samples}) == 1
    assert len({sample.id for sample in samples}) == len(samples)
    for one, other in itertools.pairwise(samples):
        assert shared_prefix(one.prompt, other.prompt) >= one.meta["needle_spans"][0][0]
    assert {sample.references for sample in samples} == {samples[0].references}


def test_bpe_depths_differ_in_the_last_sentence_alone(gpt_tokenizer: Tokenizer) -> None:
    task = NiahTask("multikey")
    samples = [task.sample(4000, depth, 0, gpt_tokenizer) for depth in DEPTHS]
    for one, other in itertools.pairwise(samples):
        assert shared_prefix(one.prompt, other.prompt) >= one.meta["needle_spans"][0][0]
        texts = without_target(one), without_target(other)
        assert shared_prefix(*texts) >= texts[0].rindex("\nWhat is the special magic") - 300


@pytest.mark.parametrize("needle", ["multivalue", "multiquery"])
def test_one_of_several_queried_needles_moves(needle: str, byte_tokenizer: Tokenizer) -> None:
    moved = set()
    for index in range(12):
        shallow, deep = (NiahTask(needle).sample(9000, depth, index, byte_tokenizer) for depth in (0, 100))
        shifts = [
            b[0] - a[0] for a, b in zip(shallow.meta["needle_spans"], deep.meta["needle_spans"], strict=True)
        ]
        assert sum(shift > 1000 for shift in shifts) == 1
        moved.add(shifts.index(max(shifts)))
    assert len(moved) > 1


def test_other_samples_lengths_and_seeds_have_other_text(byte_tokenizer: Tokenizer) -> None:
    prompts = [
        NiahTask("multikey", seed=seed).sample(length, 50, index, byte_tokenizer)
        for seed, length, index in itertools.product((0, 1), (4096, 8192), (0, 1))
    ]
    assert len({sample.references for sample in prompts}) == len(prompts)
    bodies = [sample.prompt.partition("afterwards.\n")[2] for sample in prompts]
    assert max(shared_prefix(*pair) for pair in itertools.combinations(bodies, 2)) < 60


def test_distractors_never_answer_the_question(byte_tokenizer: Tokenizer) -> None:
    for index in range(5):
        sample = NiahTask("single-word", "needles", n_distractors=60).sample(
            30_000, 50, index, byte_tokenizer
        )
        (key,), (value,) = sample.meta["keys"], sample.references
        assert sample.prompt.count(key) == 3  # needle, question, answer prefix
        assert sample.prompt.count(value) == 1
        assert sample.meta["n_distractors"] == 60


def test_call_order_does_not_matter(byte_tokenizer: Tokenizer, gpt_tokenizer: Tokenizer) -> None:
    cells = list(itertools.product((2048, 5000), (0, 50, 100), (0, 1)))
    forward = [NiahTask("multikey").sample(*cell, byte_tokenizer).prompt for cell in cells]
    NiahTask("multikey").sample(20_000, 50, 0, gpt_tokenizer)
    backward = [NiahTask("multikey").sample(*cell, byte_tokenizer).prompt for cell in reversed(cells)]
    assert forward == backward[::-1]


def test_sample_fields(byte_tokenizer: Tokenizer) -> None:
    sample = NiahTask("single-number", seed=3, max_new_tokens=40).sample(8192, 50, 0, byte_tokenizer)
    assert sample.id == "niah/single-number/prose/8192/d50/s0"
    assert sample.group == "niah/single-number/prose/8192/s0"
    assert sample.task == "niah"
    assert (sample.length, sample.n_prompt_tokens, sample.max_new_tokens) == (8192, 8152, 40)
    assert json.loads(json.dumps(dict(sample.meta))) == dict(sample.meta)
    assert sample.meta["seed"] == 3
    assert sample.meta["needle"] == "single-number"
    assert sample.meta["haystack"] == "prose"
    assert sample.meta["sample"] == 0
    assert NiahTask().sample(8192, 12.5, 4, byte_tokenizer).id == "niah/single-number/prose/8192/d12.5/s4"


def test_description_names_what_decides_the_prompts() -> None:
    task = NiahTask("multikey", seed=5)
    text = json.dumps(task.describe(), sort_keys=True)
    assert json.loads(text)["data_hash"] == task.data_hash()
    others = (NiahTask("single-number"), NiahTask("multikey", "noise"), NiahTask(str(EXAMPLE)))
    hashes = {task.data_hash(), *(other.data_hash() for other in others)}
    assert len(hashes) == 4
    assert NiahTask("multikey", seed=6).data_hash() == task.data_hash()
    assert NiahTask("multikey", seed=6).describe() != task.describe()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"needle": "multi-key"}, "unknown needle 'multi-key' – did you mean 'multikey'?"),
        ({"haystack": "pose"}, "unknown haystack 'pose', and no such folder – did you mean 'prose'?"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0 – "),
        ({"n_distractors": -1}, "n_distractors is -1 – "),
        ({"needle": "san-francisco", "n_distractors": 2}, "needle 'san-francisco' has no key"),
    ],
)
def test_wrong_settings_are_refused_at_once(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+ – [^\n]+$") as error:
        NiahTask(**settings)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("depth", [-0.1, 100.5, float("nan"), float("inf")])
def test_depth_outside_is_refused(depth: float, byte_tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="outside 0 to 100 – "):
        NiahTask().sample(4096, depth, 0, byte_tokenizer)


def test_negative_index_is_refused(byte_tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="sample index -1 is negative – "):
        NiahTask().sample(4096, 0, -1, byte_tokenizer)
