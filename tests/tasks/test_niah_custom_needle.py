"""Needles from YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hisa_tasks.niah import NiahTask, score
from hisa_tasks.sample import Tokenizer

EXAMPLE = Path(__file__).parents[2] / "configs" / "needles" / "example.yaml"
LEAST: dict[str, Any] = {
    "name": "password",
    "sentence": "The password is {value}.",
    "question": "What is the password?",
    "values": "uuids",
}


def write(folder: Path, **fields: Any) -> str:
    path = folder / "needle.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (LEAST | fields).items() if v is not None}), "utf-8")
    return str(path)


def test_example_file(byte_tokenizer: Tokenizer) -> None:
    samples = [NiahTask(str(EXAMPLE)).sample(3000, 50, index, byte_tokenizer) for index in range(6)]
    for sample in samples:
        (key,), (value,) = sample.meta["keys"], sample.references
        ((start, end),) = sample.meta["needle_spans"]
        assert sample.prompt[start:end] == f"The smugglers of {key} hid their silver under the {value}."
        assert sample.prompt.startswith("A secret is hidden within the following text. Memorize it.\n")
        question, prefix = sample.prompt.splitlines()[-1].split("? ")
        assert question == f"Where did the smugglers of {key} hide their silver"
        assert prefix == f"The smugglers of {key} hid their silver under the"
        assert (
            sample.prompt.count("hid their silver under the") == 4
        )  # needle, two distractors, answer prefix
        assert sample.prompt.count(value) == 1
        assert score(sample, f" {value}, of course") == 1.0
    assert len({sample.references for sample in samples}) > 1
    assert samples[0].id == "niah/smugglers/prose/3000/d50/s0"


def test_least_file(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    sample = NiahTask(write(tmp_path)).sample(2000, 0, 0, byte_tokenizer)
    assert sample.prompt.startswith(f"The password is {sample.references[0]}. ")
    assert sample.prompt.endswith("\n\nWhat is the password?")
    assert sample.meta["keys"] == []


def test_key_facts(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    needle = write(
        tmp_path, values=["the cat sat on a red mat"], metric="key-facts", facts=["cat", "red mat"]
    )
    sample = NiahTask(needle).sample(2000, 50, 0, byte_tokenizer)
    assert sample.references == ("cat", "red mat")
    assert score(sample, "A cat!") == 0.5


def test_own_needles_as_haystack(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    needle = write(
        tmp_path,
        sentence="The password of {key} is {value}.",
        question="What is the password of {key}?",
        keys="words",
    )
    sample = NiahTask(needle, "needles").sample(9000, 50, 0, byte_tokenizer)
    assert sample.prompt.count("The password of ") > 80
    assert sample.prompt.count(sample.meta["keys"][0]) == 2


def test_contents_count_not_the_path(tmp_path: Path) -> None:
    first = NiahTask(write(tmp_path)).data_hash()
    assert NiahTask(write(tmp_path, question="Which password?")).data_hash() != first
    assert NiahTask(write(tmp_path, summary="other words")).data_hash() == first


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": None}, "field 'name' is missing – "),
        ({"name": "multikey"}, "name 'multikey' cannot be used – "),
        ({"name": "My Needle"}, "name 'My Needle' cannot be used – "),
        ({"sentence": 5}, "field 'sentence' is 5 – "),
        ({"sentence": "No value."}, "the sentence does not have {value} exactly once – "),
        ({"sentence": "{value} {value}"}, "the sentence does not have {value} exactly once – "),
        ({"question": ""}, "field 'question' is '' – "),
        ({"question": "Is it {value}?"}, "the question or the answer prefix has {value} – "),
        ({"answer_prefix": "It is {value}"}, "the question or the answer prefix has {value} – "),
        ({"answer_prefix": "For {key}:"}, "the answer prefix has {key}, but there are no keys – "),
        ({"keys": "words"}, "{key} and the field 'keys' do not go together – "),
        ({"sentence": "{key} {value}", "keys": "words"}, "{key} and the field 'keys' do not go together – "),
        ({"values": []}, "field 'values' is empty – "),
        ({"values": "colours"}, "field 'values' is 'colours' – use one of numbers, words, uuids"),
        ({"values": [1, 2]}, "field 'values' is [1, 2] – write a list of texts"),
        ({"metric": "rouge"}, "unknown metric 'rouge' – "),
        ({"facts": ["x"]}, "'facts' are only scored by the metric key-facts – "),
        ({"distractors": True}, "field 'distractors' is True – "),
        ({"distractors": -1}, "field 'distractors' is -1 – "),
        ({"anwser_prefix": "x"}, "unknown field 'anwser_prefix' – did you mean 'answer_prefix'?"),
    ],
)
def test_wrong_fields(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, **fields)
    with pytest.raises(ValueError, match=r"^[^\n]+ – [^\n]+$") as error:
        NiahTask(path)
    assert str(error.value).startswith(f"needle file {path}: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [open", " is not YAML at line 1: "),
        (b"- a\n- b\n", " holds no fields – "),
        (b"", " holds no fields – "),
        (b"name: caf\xe9", " is not UTF-8: byte 9 cannot be decoded – "),
        (b"name: \x07", " is not YAML"),
    ],
)
def test_wrong_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "needle.yml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]+ – [^\n]+$") as error:
        NiahTask(str(path))
    assert str(error.value).startswith(f"needle file {path}{message}")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"nothing\.yaml cannot be read: No such file or directory – check the path$"
    ):
        NiahTask(str(tmp_path / "nothing.yaml"))


def test_too_few_keys_or_distractors_without_keys(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'smugglers' has too few keys: 5 for 6 needles – list more keys"):
        NiahTask(str(EXAMPLE), n_distractors=5)
    with pytest.raises(
        ValueError, match="'password' has no key, so distractors could not be told from it – "
    ):
        NiahTask(write(tmp_path), n_distractors=1)
