"""One question to a model, and what its task needs to score the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Tokenizer(Protocol):
    """What a task needs of the tested model's tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without any special token added."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`."""
        ...


@dataclass(frozen=True)
class Sample:
    """One prompt, its reference answers and the facts that later tables need.

    Attributes:
        id: Stable and unique within a run's task settings, e.g. `"niah/single-number/prose/8192/d50/s0"`.
        task: Name of the task that made it and scores it.
        prompt: The whole text to send, answer prefix included.
        references: Expected answers.
        max_new_tokens: Room left for the answer, in tokens of the tested model.
        length: Context length asked for, in tokens: prompt and answer room together.
        n_prompt_tokens: Tokens of `prompt` as counted by the tokenizer that built it;
            `n_prompt_tokens + max_new_tokens == length` for tasks that build to a length.
        evidence: Half-open character spans of `prompt` that hold the answer (a needle's value and the
            sentence around it are given separately in `meta`); empty where a task has none.
        group: Samples of one group share a long prefix; a model may reuse its work across them.
        stop: Texts whose last token ends the answer beside the model's own stop tokens. Where there are any,
            no stop token can be the answer's first.
        literal: Half-open character span of `prompt` in which special tokens are plain text, while around it
            they count (a chat template); None where they count nowhere.
        meta: Further facts for tables (depth, needle, haystack, sample index, key …), JSON types only.
    """

    id: str
    task: str
    prompt: str
    references: tuple[str, ...]
    max_new_tokens: int
    length: int
    n_prompt_tokens: int
    evidence: tuple[tuple[int, int], ...] = ()
    group: str = ""
    stop: tuple[str, ...] = ()
    literal: tuple[int, int] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
