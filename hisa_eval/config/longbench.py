"""The settings of a LongBench run, validated before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hisa_eval.config.defaults import LONGBENCH, MINI_MODEL, NIAH
from hisa_eval.config.settings import RunSettings, joined, validated


class LongBenchSettings(RunSettings):
    """Everything that changes a number of a `longbench` run, and nothing that does not.

    Attributes:
        suite: `v1`, `e` (LongBench-E), `v2`, or `mini`, which is generated and not LongBench.
        tasks: Comma-separated data sets, categories or languages; None for all of the suite.
        samples: Rows of each data set, chosen by hash; None for all.
        data: Folder, archive or file of official rows; None for the hub's archive.
        partial: Take files that have not the official number of rows.
        truncate: What happens to prompts that are too long: `error` or `middle`.
        max_prompt_tokens: Most tokens of a prompt; None for what the model has room for.
        code_similarity: Variant of the metric of code completion.
        chat_template: Where the model's chat template is put around a prompt: `auto`, `on` or `off`.
        thinking: Rule by which thoughts are dropped from an answer before it is scored.
    """

    suite: Literal["mini", "v1", "e", "v2"]
    tasks: Annotated[Annotated[str, Field(min_length=1)] | None, BeforeValidator(joined)]
    samples: Annotated[int, Field(ge=1, le=100_000)] | None
    data: Annotated[str, Field(min_length=1)] | None
    partial: bool
    truncate: Literal["error", "middle"]
    max_prompt_tokens: Annotated[int, Field(ge=2)] | None
    code_similarity: Literal["difflib", "rapidfuzz"]
    chat_template: Literal["auto", "on", "off"]
    thinking: Literal["none", "think-tags"]


def longbench_settings(
    values: Mapping[str, Any], sources: Mapping[str, str] | None = None
) -> LongBenchSettings:
    """Validate raw values; defaults fill the rest. See `hisa_eval.config.settings.validated`.

    Where no suite is named it is `v1` if data are given, else `mini`, which needs none; where no model is
    named, `mini` is put to the one that was trained for it.
    """
    if values.get("suite") is None:
        values = {**values, "suite": "mini" if values.get("data") is None else "v1"}
    if values.get("model") is None:
        values = {**values, "model": MINI_MODEL if values["suite"] == "mini" else NIAH["model"]}
    return validated(LongBenchSettings, "longbench", LONGBENCH, values, sources)
