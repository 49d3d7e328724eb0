"""Tokenizers that prompts are built with: bytes, and byte-pair encodings trained here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import tokenizers

from hisa_tasks.niah import NiahTask


class ByteTokenizer:
    """One token a byte, ids as in ByT5."""

    def encode(self, text: str) -> list[int]:
        return [byte + 3 for byte in text.encode("utf-8")]

    def decode(self, ids: list[int]) -> str:
        return bytes(i - 3 for i in ids).decode("utf-8", errors="replace")


@dataclass(frozen=True)
class BpeTokenizer:
    """A `tokenizers` model behind the task's protocol."""

    inner: tokenizers.Tokenizer

    def encode(self, text: str) -> list[int]:
        return list(self.inner.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: list[int]) -> str:
        return str(self.inner.decode(ids))


def train_bpe(vocab_size: int, use_regex: bool) -> BpeTokenizer:
    """A byte-level BPE trained on prose; without the regex its merges run across words and lines."""
    prose = NiahTask(seed=99).sample(200_000, 50, 0, ByteTokenizer()).prompt
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(prose.splitlines(keepends=True), trainer)
    return BpeTokenizer(inner)


@pytest.fixture(scope="session")
def byte_tokenizer() -> ByteTokenizer:
    return ByteTokenizer()


@pytest.fixture(scope="session")
def gpt_tokenizer() -> BpeTokenizer:
    """Splits as GPT-2 does: a word carries the space before it."""
    return train_bpe(3000, use_regex=True)


@pytest.fixture(scope="session")
def greedy_tokenizer() -> BpeTokenizer:
    """Merges across words, sentences and lines."""
    return train_bpe(1500, use_regex=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real test material that lies next to the checkout on some machines; it may not be shipped."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real test material at {folder}: it may not be redistributed with the project")
    return folder
