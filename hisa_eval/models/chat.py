"""A checkpoint's chat template, rendered around a prompt by transformers; imported on first use."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

CONFIG = "tokenizer_config.json"
_TEMPLATE = "chat_template.jinja"


class Framed(NamedTuple):
    """A whole text for a model, and the half-open character span of it that is the prompt: special tokens
    count around that span, and are plain text in it."""

    text: str
    literal: tuple[int, int]


class ChatTemplate:
    """Puts prompts into the template as one user message, with the mark that asks for an answer.

    Args:
        folder: Of the checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(self._folder), local_files_only=True)

    def wrap(self, prompt: str) -> Framed:
        """The prompt inside the template; what the template strips off the prompt's ends is gone.

        Raises:
            ValueError: the template changes the prompt's inside, or puts more than one start token there.
        """
        message = [{"role": "user", "content": prompt}]
        text = self._tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        body = prompt if prompt in text else prompt.strip()
        first = text.find(body)
        if first < 0:
            raise ValueError("the model's chat template changes the prompt itself – use --chat-template off")
        literal = (first, first + len(body))
        start = self._tokenizer.bos_token
        if start and (text[: literal[0]] + text[literal[1] :]).count(start) > 1:
            raise ValueError(
                f"the model's chat template gives {start!r} twice – mend it, or use --chat-template off"
            )
        return Framed(text, literal)


def chat_template(folder: Path) -> ChatTemplate | None:
    """The chat template of a checkpoint, None where it has none."""
    if (folder / _TEMPLATE).is_file() or _config(folder).get("chat_template"):
        return ChatTemplate(folder)
    return None


def start_token(folder: Path) -> str | None:
    """The start token that a checkpoint's configuration wants before every text, None where it wants none."""
    config = _config(folder)
    token = config.get("bos_token")
    token = token.get("content") if isinstance(token, dict) else token
    return token if token and config.get("add_bos_token") else None


def _config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return loaded
