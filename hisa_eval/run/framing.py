"""What a model needs around a prompt: a chat template where the data set's rule says so, a start token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hisa_tasks.sample import Sample, Tokenizer

if TYPE_CHECKING:
    from hisa_eval.models.chat import ChatTemplate, Framed


@dataclass(frozen=True)
class Framing:
    """How samples are framed; prompts are cut before that, as LongBench does it.

    Args:
        policy: `auto` takes the chat template, if the model has one, where the sample's `meta` says
            `chat_template`; `on` takes it everywhere, `off` nowhere.
        thinking: Rule by which thoughts are dropped from answers before they are scored.
        model: Name of the model, for messages.
        tokenizer: The model's own.

    Raises:
        ValueError: `on`, and the model has no template.
    """

    policy: str
    thinking: str
    model: str
    tokenizer: Tokenizer

    def __post_init__(self) -> None:
        if self.policy == "on" and self.chat is None:
            raise ValueError(f"model {self.model} has no chat template – use --chat-template auto or off")

    @property
    def chat(self) -> ChatTemplate | None:
        """The model's chat template."""
        found: ChatTemplate | None = getattr(self.tokenizer, "chat", None)
        return found

    def room(self) -> int:
        """Most tokens that a frame adds to a prompt."""
        frames = [self._frame("x", rule=rule) for rule in (True, False)]
        return max(0 if one is None else self._count(one) - 1 for one in frames)

    def maker(self, make: Callable[..., Sample], *arguments: Any) -> Callable[[Tokenizer], Sample]:
        """Makes a sample with `make(*arguments, tokenizer)` and frames it."""
        return lambda tokenizer: self.apply(make(*arguments, tokenizer))

    def apply(self, sample: Sample) -> Sample:
        """The sample as it is sent and scored; unchanged where nothing is added."""
        if self.thinking != "none":
            sample = replace(sample, meta={**sample.meta, "thinking": self.thinking})
        rule = bool(sample.meta.get("chat_template"))
        framed = self._frame(sample.prompt, rule=rule)
        if framed is None:
            return sample
        n_prompt = self._count(framed)
        return replace(
            sample,
            prompt=framed.text,
            literal=framed.literal,
            n_prompt_tokens=n_prompt,
            length=n_prompt + sample.max_new_tokens,
            meta={**sample.meta, "frame": "chat template" if self._takes_chat(rule=rule) else "start token"},
        )

    def _takes_chat(self, *, rule: bool) -> bool:
        return self.chat is not None and (self.policy == "on" or (self.policy == "auto" and rule))

    def _frame(self, prompt: str, *, rule: bool) -> Framed | None:
        if self._takes_chat(rule=rule):
            assert self.chat is not None
            return self.chat.wrap(prompt)
        start: str | None = getattr(self.tokenizer, "start", None)
        if start is None:
            return None
        from hisa_eval.models.chat import Framed

        return Framed(start + prompt, (len(start), len(start) + len(prompt)))

    def _count(self, framed: Framed) -> int:
        from hisa_eval.models.tokens import CheckpointTokenizer

        assert isinstance(self.tokenizer, CheckpointTokenizer)
        return len(self.tokenizer.encode_with(framed.text, (), framed.literal)[0])
