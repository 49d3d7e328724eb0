"""Options that several commands share. Each is None unless given, so that a file or a default can speak."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hisa_eval.config.defaults import NIAH

GRID = "Grid"
QUESTION = "Question"
MODEL = "Model and indexers"
RUN = "Run"
OUTPUT = "Output"


def _option(name: str, text: str, panel: str, metavar: str | None = None, default: str | None = None) -> Any:
    """An option of a setting, with the setting's default on the help page."""
    shown = default if default is not None else str(NIAH[name])
    flag = "--" + name.replace("_", "-")
    return typer.Option(flag, help=text, rich_help_panel=panel, metavar=metavar, show_default=shown)


Lengths = Annotated[
    str | None,
    _option(
        "lengths",
        "Context lengths in tokens: 8k..128k doubles, 4k,16k,1m lists, 8k:64k:8k steps; k = 1024.",
        GRID,
        "SPEC",
    ),
]
Depths = Annotated[
    str | None,
    _option("depths", "Needle depths: a count, per cents (0,25.5,100) or random:COUNT.", GRID, "SPEC"),
]
Samples = Annotated[int | None, _option("samples", "Samples per length, depth and indexer.", GRID, "N")]
Needle = Annotated[
    str | None,
    _option("needle", "What is hidden: a name (hisa-eval list needles) or a YAML file.", QUESTION, "NAME"),
]
Distractors = Annotated[
    int | None,
    _option("distractors", "Needles with other keys in the haystack.", QUESTION, "N", "the needle's own"),
]
Haystack = Annotated[
    str | None,
    _option("haystack", "Where it is hidden: prose, noise, needles, or a folder of texts.", QUESTION, "NAME"),
]
MaxNewTokens = Annotated[
    int | None,
    _option("max_new_tokens", "Room for the answer in tokens.", QUESTION, "N", "the needle's own"),
]
Indexers = Annotated[
    str | None,
    _option(
        "indexer",
        "Who selects, options inline: dsa,hisa:block_size=64,num_blocks=128.",
        MODEL,
        "LIST",
    ),
]
ModelName = Annotated[str | None, _option("model", "Who answers (hisa-eval list models).", MODEL, "NAME")]
TopK = Annotated[int | None, _option("topk", "Token budget k of the indexer.", MODEL, "K", "the model's own")]
Device = Annotated[str | None, _option("device", "auto, cpu or cuda.", MODEL, "NAME")]
Dtype = Annotated[
    str | None, _option("dtype", "auto (f32 on a CPU, bf16 on CUDA), f32 or bf16.", MODEL, "NAME")
]
Seed = Annotated[int | None, _option("seed", "Decides keys, values, haystacks and random depths.", GRID, "N")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="YAML file of settings; a flag wins over it, it wins over a default.",
        rich_help_panel=RUN,
        metavar="FILE",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON value on standard output.", rich_help_panel=OUTPUT)
]
