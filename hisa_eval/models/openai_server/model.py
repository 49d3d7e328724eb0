"""A served model as a `Model` of the harness."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from hisa_eval.errors import UserError
from hisa_eval.indexers.base import Indexer
from hisa_eval.models.base import Generation
from hisa_eval.models.errors import AnswerError, CellError
from hisa_eval.models.openai_server.client import FIRST_WAIT, Client, RequestError
from hisa_eval.models.openai_server.facts import describe, split_address
from hisa_tasks.sample import Sample, Tokenizer

_TOO_LONG = ("context length", "context_length", "maximum context", "too long", "max_model_len", "exceeds")
_ADDED = 2
"""Special tokens that a server may put around a prompt sent as text."""


class ServerModel:
    """Asks a server for completions.

    Args:
        model: Its address, see `facts.describe`.
        tokenizer: The served model's own.
        tokenizer_hash: Of its checkpoint folder's tokenizer, for manifests.
        claim: Which indexer the user says it runs; None where nothing is said.
        concurrency: Requests that are under way at the same time.
    """

    def __init__(
        self,
        model: str,
        *,
        tokenizer: Tokenizer,
        tokenizer_hash: str,
        claim: str | None = None,
        concurrency: int = 1,
    ) -> None:
        self._facts = describe(model)
        self.name = str(self._facts["name"])
        self.concurrency = concurrency
        self._tokenizer = tokenizer
        self._tokenizer_hash = tokenizer_hash
        self._claim = claim
        self._client = Client(split_address(model)[0], first_wait=FIRST_WAIT)
        self._answers: dict[str, Future[Generation]] = {}
        self._as_ids = self._takes_ids()

    @property
    def tokenizer(self) -> Tokenizer:
        """The served model's own tokenizer, as the user named it."""
        return self._tokenizer

    @property
    def topk(self) -> int:
        """Not known: 0."""
        return 0

    def describe(self) -> Mapping[str, Any]:
        """What a manifest says of it."""
        return {
            **self._facts,
            "tokenizer": self._tokenizer_hash,
            "prompts": "token ids" if self._as_ids else "text",
            "claimed_indexer": self._claim,
        }

    def announce(self, sample: Sample) -> None:
        """Ask for the answer to `sample` now, so that `generate` finds it."""
        if sample.id in self._answers:
            return
        future: Future[Generation] = Future()
        self._answers[sample.id] = future

        def work() -> None:
            try:
                future.set_result(self._ask(sample))
            except BaseException as error:
                future.set_exception(error)

        # Daemons, since a run that is stopped must not wait for answers under way.
        threading.Thread(target=work, daemon=True).start()

    def generate(self, sample: Sample, indexer: Indexer, *, probe: bool = True, seed: int = 0) -> Generation:
        """Answer `sample`; nothing can be probed. See `hisa_eval.models.base.Model.generate`.

        Raises:
            CellError: the context is too long for the server.
            AnswerError: no usable answer came.
        """
        waiting = self._answers.pop(sample.id, None)
        return self._ask(sample) if waiting is None else waiting.result()

    def memory_bytes(self, length: int, indexer: Indexer) -> int:
        """None here: the memory is the server's."""
        return 0

    def _takes_ids(self) -> bool:
        """Whether the server takes prompts as token ids; asked once, with one token."""
        ids = self._tokenizer.encode("a")
        for prompt in (ids, "a"):
            try:
                self._client.post("/completions", self._body(prompt, 1), _choice)
            except RequestError as error:
                if error.status is None or prompt == "a":
                    raise UserError(
                        f"{self._client.base}/completions gives no completion: {error}",
                        "check that the server has the completion route and the key in OPENAI_API_KEY",
                    ) from error
            else:
                return prompt != "a"
        raise AssertionError("unreachable")

    def _body(self, prompt: list[int] | str, max_tokens: int) -> dict[str, Any]:
        return {"model": self.name, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0.0}

    def _ask(self, sample: Sample) -> Generation:
        ids = self._tokenizer.encode(sample.prompt)
        limit = self._facts["context"]
        if limit is not None and len(ids) + sample.max_new_tokens > limit:
            raise CellError(
                f"{len(ids)} prompt tokens and {sample.max_new_tokens} to generate exceed the server's "
                f"context of {limit}"
            )
        body = self._body(ids if self._as_ids else sample.prompt, sample.max_new_tokens)
        began = time.perf_counter()
        try:
            (text, finish, usage), _ = self._client.post("/completions", body, _choice)
        except RequestError as error:
            if error.status in (400, 413, 422) and any(word in str(error).lower() for word in _TOO_LONG):
                raise CellError(f"the server refuses the length: {error}") from error
            raise AnswerError(f"no answer from the server: {error}") from error
        seconds = time.perf_counter() - began
        counted = usage.get("prompt_tokens")
        slack = 0 if self._as_ids else _ADDED
        if counted is not None and not len(ids) <= counted <= len(ids) + slack:
            raise AnswerError(
                f"{len(ids)} prompt tokens were sent, the server counted {counted}: it cuts prompts"
            )
        generated = usage.get("completion_tokens")
        return Generation(
            text=text,
            n_prompt_tokens=len(ids) if counted is None else counted,
            n_generated=len(self._tokenizer.encode(text)) if generated is None else generated,
            finish_reason=finish,
            prefill_seconds=seconds,
            decode_seconds=0.0,
        )


def _choice(answer: Any) -> tuple[str, str, dict[str, Any]]:
    """Text, finish reason and usage of a completion.

    Raises:
        ValueError: it has not that form.
    """
    try:
        (choice,) = answer["choices"]
        text, finish = choice["text"], choice.get("finish_reason")
        usage = answer.get("usage") or {}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"not one completion: {str(answer)[:80]}") from error
    if not isinstance(text, str) or finish not in ("stop", "length") or not isinstance(usage, dict):
        raise ValueError(f"text {str(text)[:40]!r}, finish_reason {finish!r}")
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if any(count is not None and not isinstance(count, int) for count in counts):
        raise ValueError(f"usage {usage}")
    return text, finish, usage
