"""Settings, identities and lists of RULER's tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hisa_tasks import registry
from hisa_tasks.metrics.string_match_part import string_match_part
from hisa_tasks.ruler import (
    GROUPS,
    TASKS,
    RulerTask,
    describe,
    expand,
    lacking_data,
    score,
    score_answer,
)
from hisa_tasks.ruler.averages import effective_length, over_categories, over_lengths, over_tasks
from hisa_tasks.sample import Sample, Tokenizer

Make = Callable[..., RulerTask]
ROOT = Path(__file__).parents[3]
NAMES = [
    "niah_single_1",
    "niah_single_2",
    "niah_single_3",
    "niah_multikey_1",
    "niah_multikey_2",
    "niah_multikey_3",
    "niah_multivalue",
    "niah_multiquery",
    "vt",
    "cwe",
    "fwe",
    "qa_1",
    "qa_2",
]


def test_names() -> None:
    assert list(TASKS) == list(registry.ruler_tasks()) == NAMES
    assert "ruler" in registry.available()
    assert all(task.summary and "\n" not in task.summary for task in TASKS.values())
    assert [task.category for task in TASKS.values()] == (
        ["retrieval"] * 8 + ["tracing"] + ["aggregation"] * 2 + ["question answering"] * 2
    )


def test_every_task_is_described(make_task: Make) -> None:
    assert list(registry.describe("ruler")["tasks"]) == NAMES
    for name in NAMES:
        facts = registry.describe(name)
        assert facts == {"kind": "ruler task", **describe(name)}
        assert facts["name"] == name
        assert json.loads(json.dumps(facts)) == facts
        assert "{context}" in facts["template"]
        assert ("data" in facts) == name.startswith("qa_")
        described = make_task(name).describe()
        assert json.loads(json.dumps(described)) == described
        assert described["ruler"] == name
        assert described["max_new_tokens"] == facts["max_new_tokens"]


def test_expand() -> None:
    assert expand("all") == tuple(NAMES)
    assert expand("fwe, vt,vt") == ("vt", "fwe")
    assert expand("qa,niah_single_1") == ("niah_single_1", "qa_1", "qa_2")
    assert expand("without-data") == tuple(NAMES[:-2])
    assert GROUPS["niah"] == tuple(NAMES[:8])
    with pytest.raises(ValueError, match="unknown RULER task 'niah_single' – did you mean 'niah_single_"):
        expand("vt,niah_single")
    with pytest.raises(ValueError, match="no RULER task is named – known: all, "):
        expand(" ,")


def test_lacking_data(qa_folder: Path, tmp_path: Path) -> None:
    assert lacking_data(NAMES, str(qa_folder)) == {}
    assert lacking_data(["vt"], None) == {}
    assert list(lacking_data(NAMES, None)) == ["qa_1", "qa_2"]
    assert list(lacking_data(NAMES, str(tmp_path))) == ["qa_1", "qa_2"]
    (tmp_path / "dev-v2.0.json").write_text("{}", "utf-8")
    (line,) = lacking_data(NAMES, str(tmp_path)).values()
    assert line.startswith(f"folder {tmp_path} has no hotpot_dev_distractor_v1.json or hotpotqa.json")


@pytest.mark.parametrize(
    ("scores", "published"),
    [
        ((96.7, 96.6, 96.4, 96.0, 95.4, 95.1), (96.0, 95.7, 96.3)),  # Jamba-1.5-large
        ((96.7, 95.8, 96.0, 95.9, 95.9, 94.4), (95.8, 95.5, 96.1)),  # Gemini-1.5-pro
        ((95.6, 95.6, 94.8, 94.6, 92.8, 90.0), (93.9, 93.1, 94.8)),  # Jamba-1.5-mini
        ((96.5, 95.8, 95.4, 94.8, 88.4, 66.6), (89.6, 85.5, 93.7)),  # Llama3.1-70B
        ((96.2, 96.1, 95.1, 93.0, 78.8, 23.7), (80.5, 70.6, 90.4)),  # Mistral-Large-2407
    ],
)
def test_averages_are_those_of_the_published_table(
    scores: tuple[float, ...], published: tuple[float, ...]
) -> None:
    by_length = dict(zip((131072, 65536, 32768, 16384, 8192, 4096), reversed(scores), strict=True))
    ours = tuple(over_lengths(by_length, weights) for weights in ("equal", "inc", "dec"))
    assert ours == pytest.approx(published, abs=0.1), "inputs and outputs are rounded to 0.1"


def test_averages() -> None:
    scores = {"qa_1": 0.2, "niah_single_1": 1.0, "niah_multivalue": 0.5, "vt": 0.3}
    assert over_tasks(scores) == pytest.approx(0.5)
    assert over_categories(scores) == {"retrieval": 0.75, "tracing": 0.3, "question answering": 0.2}
    assert list(over_categories(scores)) == ["retrieval", "tracing", "question answering"]
    assert effective_length({4096: 0.9, 8192: 0.856, 16384: 0.8, 32768: 0.99}) == 8192
    assert effective_length({4096: 0.5}) is None
    for nothing in (over_tasks, over_lengths):
        with pytest.raises(ValueError, match="there is no score to average – run at least one"):
            nothing({})
    with pytest.raises(ValueError, match="unknown RULER task 'x'"):
        over_tasks({"x": 1.0})


@pytest.mark.parametrize("name", NAMES)
def test_seed_index_and_length_decide_a_prompt(name: str, make_task: Make, byte_tokenizer: Tokenizer) -> None:
    def prompt(seed: int = 0, index: int = 0, length: int = 8192, depth: float = 0) -> str:
        return make_task(name, seed=seed).sample(length, depth, index, byte_tokenizer).prompt

    first = prompt()
    others = [prompt(seed=1), prompt(index=1), prompt(length=8193), prompt(seed=1, index=1)]
    assert len({first, *others}) == 5
    assert first == prompt() == prompt(depth=50)
    bodies = [text[200:2000] for text in (first, *others)]
    assert len(set(bodies)) >= 4 if name != "niah_single_1" else True


def test_another_process_makes_the_same_prompts(byte_tokenizer: Tokenizer) -> None:
    code = (
        "import sys, hashlib; sys.path.insert(0, 'tasks');"
        "from hisa_tasks.ruler import RulerTask\n"
        "class Bytes:\n"
        "    def encode(self, text): return list(text.encode())\n"
        "for name in ('niah_multiquery', 'vt', 'cwe', 'fwe'):\n"
        "    text = RulerTask(name, seed=4).sample(8192, 0, 2, Bytes()).prompt\n"
        "    print(hashlib.sha256(text.encode()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_sample_fields(make_task: Make, byte_tokenizer: Tokenizer) -> None:
    for name in NAMES:
        sample = make_task(name, seed=3, max_new_tokens=40).sample(8192, 0, 4, byte_tokenizer)
        assert sample.id == sample.group == f"ruler/{name}/8192/s4"
        assert sample.task == "ruler"
        assert (sample.length, sample.n_prompt_tokens, sample.max_new_tokens) == (8192, 8152, 40)
        assert json.loads(json.dumps(dict(sample.meta))) == dict(sample.meta)
        assert (sample.meta["ruler"], sample.meta["sample"], sample.meta["seed"]) == (name, 4, 3)
        assert sample.meta["metric"] == TASKS[name].metric == make_task(name).metric
        assert registry.score(sample, ", ".join(sample.references)) == 1.0


def test_data_hash_tells_what_decides_the_prompts(make_task: Make, tmp_path: Path) -> None:
    hashes = {make_task(name).data_hash() for name in NAMES}
    assert len(hashes) == len(NAMES)
    assert make_task("vt").data_hash() == make_task("vt", seed=9).data_hash()
    (tmp_path / "a.txt").write_text("One sentence here. Another one there. " * 50, "utf-8")
    essays = make_task("niah_single_2", haystack=str(tmp_path))
    assert essays.data_hash() != make_task("niah_single_2").data_hash()
    assert make_task("vt", haystack=str(tmp_path)).data_hash() == make_task("vt").data_hash()


def test_essays_of_a_folder(make_task: Make, tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    (tmp_path / "a.txt").write_text("A first one.\n\nA second  one,\nover two lines. " * 9, "utf-8")
    sample = make_task("niah_multivalue", haystack=str(tmp_path)).sample(3000, 0, 0, byte_tokenizer)
    assert "A first one. A second one, over two lines. " in sample.prompt
    assert "\n" not in sample.prompt.split("afterwards.\n")[1].split("\nWhat are")[0]
    assert len(byte_tokenizer.encode(sample.prompt)) == 3000 - 128


def test_paul_grahams_essays(shared_data: Path, make_task: Make, byte_tokenizer: Tokenizer) -> None:
    task = make_task("niah_single_3", haystack=str(shared_data / "pg_essays"))
    for length in (4096, 131072):
        sample = task.sample(length, 0, 0, byte_tokenizer)
        assert len(byte_tokenizer.encode(sample.prompt)) + 128 == length
        assert score(sample, sample.prompt[slice(*sample.evidence[0])]) == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "cew"}, "unknown RULER task 'cew' – did you mean 'cwe'?"),
        ({"name": "vt", "max_new_tokens": 0}, "max_new_tokens is 0 – "),
        ({"name": "niah_single_2", "haystack": "pose"}, "unknown haystack 'pose', and no such folder – "),
    ],
)
def test_wrong_settings_are_refused_at_once(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+ – [^\n]+$") as error:
        RulerTask(**settings)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


def test_negative_index_is_refused(byte_tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="sample index -1 is negative – "):
        RulerTask("vt").sample(4096, 0, -1, byte_tokenizer)


def test_scores_of_loose_answers() -> None:
    assert score_answer("cwe", ["a1", "b2"], " A1.\x00b2") == 1.0
    assert score_answer("cwe", ["a1", "b2"], "a1") == 0.5
    assert score_answer("qa_1", ["a1", "b2"], "so B2, then") == 1.0
    assert score_answer("qa_1", ["a1", "b2"], "neither") == 0.0
    assert string_match_part(["x", "y z"], "Y\tZ") == 0.0
    with pytest.raises(ValueError, match="references are one string"):
        score_answer("qa_1", "a1", "a1")
    with pytest.raises(ValueError, match="unknown RULER task 'qa'"):
        score_answer("qa", ["a1"], "a1")
    for name in ("vt", "qa_2"):
        with pytest.raises(ValueError, match="needs at least one reference"):
            score_answer(name, [], "a1")
    assert registry.score(Sample("x", "ruler", "", ("a",), 1, 2, 1, meta={"ruler": "qa_1"}), "A") == 1.0


def test_imports_are_light() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tasks');"
        "import hisa_tasks.ruler as ruler, hisa_tasks.registry as registry;"
        "[registry.describe(name) for name in ruler.TASKS]; ruler.RulerTask('cwe');"
        "heavy = {'torch', 'transformers', 'numpy', 'yaml', 'tokenizers', 'hisa_eval', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
