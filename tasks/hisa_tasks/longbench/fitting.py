"""What happens to a prompt that is longer than the model takes: an error, or a reported cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hisa_tasks.longbench.prompt import Cut
from hisa_tasks.sample import Tokenizer

POLICIES = ("error", "middle")


class PromptTooLongError(ValueError):
    """A prompt has more tokens than allowed, and cutting is not.

    Attributes:
        n_tokens: Of the prompt.
        limit: Most that are allowed.
    """

    def __init__(self, sample: str, n_tokens: int, limit: int) -> None:
        self.n_tokens = n_tokens
        self.limit = limit
        super().__init__(
            f"{sample} has a prompt of {n_tokens} tokens, more than the {limit} that fit – "
            "use --truncate middle to have it cut and counted as cut, or a model with a longer context"
        )


@dataclass(frozen=True)
class Fit:
    """A policy for long prompts.

    Args:
        policy: `"error"` or `"middle"`.
        limit: Most tokens of a prompt before any chat template; None for no limit.

    Raises:
        ValueError: The policy is unknown, or the limit is below 2.
    """

    policy: str = POLICIES[0]
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"unknown truncation {self.policy!r} – known: {', '.join(POLICIES)}")
        if self.limit is not None and self.limit < 2:
            raise ValueError(f"the prompt limit is {self.limit} tokens – leave room for 2 or more")

    def apply(
        self, sample: str, text: str, tokenizer: Tokenizer, cut: Callable[[str, int, Tokenizer], Cut]
    ) -> Cut:
        """The prompt as it is sent.

        Args:
            sample: Its id, for messages.
            text: The whole prompt.
            tokenizer: Of the model.
            cut: How to cut it to a limit.

        Raises:
            PromptTooLongError: It does not fit and may not be cut.
        """
        n_tokens = len(tokenizer.encode(text))
        if self.limit is None or n_tokens <= self.limit:
            return Cut(text, n_tokens, n_tokens)
        if self.policy == "error":
            raise PromptTooLongError(sample, n_tokens, self.limit)
        return cut(text, self.limit, tokenizer)
