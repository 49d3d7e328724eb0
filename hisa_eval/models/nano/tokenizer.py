"""The nano model's tokenizer files: one token per byte, in the form that transformers loads."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from hisa_eval.models.nano.architecture import BYTE_OFFSET, MAX_POSITIONS

_SPECIAL = ("<pad>", "</s>", "<unk>")


def byte_letters() -> list[str]:
    """The printable letter that stands for each byte in byte-level vocabularies.

    Source: the byte-to-unicode table of GPT-2: printable Latin-1 stands for itself, the rest from U+0100 on.
    """
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    shifted = iter(range(0x100, 0x200))
    return [chr(byte) if byte in itself else chr(next(shifted)) for byte in range(256)]


def build_tokenizer() -> Tokenizer:
    """Byte b becomes token b + 3; any text survives encoding and decoding."""
    vocabulary = {name: number for number, name in enumerate(_SPECIAL)}
    vocabulary |= {letter: byte + BYTE_OFFSET for byte, letter in enumerate(byte_letters())}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in _SPECIAL])
    return tokenizer


def write_tokenizer(folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` into `folder`."""
    build_tokenizer().save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": MAX_POSITIONS,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
