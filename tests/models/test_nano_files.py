"""What ships with the nano checkpoints: size, tokenizer, provenance, card."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from hisa_eval.errors import UserError
from hisa_eval.models import registry
from hisa_eval.models.nano.architecture import BYTE_OFFSET, nano_config
from hisa_eval.models.nano.tokenizer import build_tokenizer, write_tokenizer
from hisa_eval.models.tokens import CheckpointTokenizer, byte_table

NAMES = registry.available()
LAYERS = {"nano": 3, "nano-hier": 3, "nano-mini": 2}


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_and_complete(name: str) -> None:
    path = registry.folder(name)
    assert sum(file.stat().st_size for file in path.iterdir()) < 10_000_000
    assert json.loads((path / "config.json").read_text()) == nano_config(LAYERS[name])
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
NANO_VOCAB = json.loads(build_tokenizer().to_str())["model"]["vocab"]


@given(st.text(max_size=200))
def test_a_byte_is_a_token_and_any_text_survives(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert ids == [byte + BYTE_OFFSET for byte in text.encode()]
    assert TOKENIZER.decode(ids) == text


@given(
    st.lists(st.one_of(st.text(max_size=12), st.sampled_from(["</s>", "<pad>", " </s> ", "a  b\n"]))),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=3),
)
def test_the_table_of_bytes_gives_what_the_tokenizer_gives(
    pieces: list[str], spans: list[tuple[int, int]]
) -> None:
    text = "".join(pieces)
    without = CheckpointTokenizer(registry.folder("nano"))
    without._of_byte = None
    assert TOKENIZER._of_byte is not None
    assert TOKENIZER.encode(text) == without.encode(text)
    (ids, positions), (wanted, places) = (one.encode_with(text, spans) for one in (TOKENIZER, without))
    assert (ids.tolist(), positions) == (wanted.tolist(), places)


def test_a_tokenizer_that_does_more_has_no_table_of_bytes() -> None:
    def changed(**parts: object) -> Tokenizer:
        whole = json.loads(build_tokenizer().to_str())
        for path, value in parts.items():
            outer, _, inner = path.partition("__")
            (whole[outer] if inner else whole)[inner or outer] = value
        return Tokenizer.from_str(json.dumps(whole))

    assert byte_table(changed()) is not None
    assert byte_table(changed(model__merges=["a b"], model__vocab={**NANO_VOCAB, "ab": 259})) is None
    assert byte_table(changed(normalizer={"type": "NFC"})) is None
    assert byte_table(changed(pre_tokenizer__add_prefix_space=True)) is None
    assert byte_table(changed(pre_tokenizer=None)) is None
    fewer = {name: number for name, number in NANO_VOCAB.items() if name != "a"}
    assert byte_table(changed(model__vocab=fewer)) is None


def test_a_mark_spelt_in_a_text_is_only_text() -> None:
    assert TOKENIZER.encode("a</s>") == [byte + BYTE_OFFSET for byte in b"a</s>"]


def test_positions_are_those_of_the_bytes() -> None:
    text = "né 123 x"
    assert TOKENIZER.encode_with(text, [(3, 6)])[1] == [4, 5, 6]
    assert TOKENIZER.encode_with(text, [(1, 2)])[1] == [1, 2]
    ids, positions = TOKENIZER.encode_with(text, [])
    assert (ids.tolist(), positions) == (TOKENIZER.encode(text), [])


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
