"""What ships with the nano checkpoints: size, tokenizer, provenance, card."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hisa_eval.errors import UserError
from hisa_eval.models import registry
from hisa_eval.models.nano.architecture import BYTE_OFFSET, NANO_CONFIG
from hisa_eval.models.nano.tokenizer import write_tokenizer
from hisa_eval.models.tokens import CheckpointTokenizer

NAMES = registry.available()


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_and_complete(name: str) -> None:
    path = registry.folder(name)
    assert sum(file.stat().st_size for file in path.iterdir()) < 10_000_000
    assert json.loads((path / "config.json").read_text()) == NANO_CONFIG
    record = json.loads((path / "training.json").read_text())["parts"]
    assert all(len(part["revision"]) == 40 and part["stages"] and part["log"] for part in record)


@pytest.mark.parametrize("name", NAMES)
def test_card_names_the_commands_and_the_data(name: str) -> None:
    card = (registry.folder(name) / "README.md").read_text()
    for wanted in ("hisa_eval.models.nano.training.train", "## Data", "## Limits", "License", "seed"):
        assert wanted in card


@pytest.mark.parametrize("name", NAMES)
def test_tokenizer_files_are_the_built_ones(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_tokenizer(tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (registry.folder(name) / file).read_text() == (tmp_path / file).read_text()


TOKENIZER = CheckpointTokenizer(registry.folder("nano"))


@given(st.text(max_size=200))
def test_a_byte_is_a_token_and_any_text_survives(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert ids == [byte + BYTE_OFFSET for byte in text.encode()]
    assert TOKENIZER.decode(ids) == text


def test_a_mark_spelt_in_a_text_is_only_text() -> None:
    assert TOKENIZER.encode("a</s>") == [byte + BYTE_OFFSET for byte in b"a</s>"]


def test_positions_are_those_of_the_bytes() -> None:
    text = "né 123 x"
    assert TOKENIZER.encode_with(text, [(3, 6)])[1] == [4, 5, 6]
    assert TOKENIZER.encode_with(text, [(1, 2)])[1] == [1, 2]
    assert TOKENIZER.encode_with(text, []) == (TOKENIZER.encode(text), [])


def test_stock_transformers_loads_the_tokenizer() -> None:
    stock = AutoTokenizer.from_pretrained(registry.folder("nano"))
    assert stock.eos_token_id == 1
    assert stock("ab")["input_ids"] == [100, 101]


def test_unknown_model_is_said_with_a_suggestion() -> None:
    with pytest.raises(UserError, match="did you mean 'nano'"):
        registry.describe("nanno")


def test_registry_needs_no_torch() -> None:
    code = (
        "import sys, hisa_eval.models.registry as r; r.describe('nano'); r.tokenizer('nano').encode('x'); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
