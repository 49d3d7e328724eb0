"""Options that several commands share. Each is None unless given, so that a file or a default can speak."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hisa_eval.config.defaults import FIDELITY, LONGBENCH, NIAH, RULER

GRID = "Grid"
QUESTION = "Question"
INPUTS = "Inputs"
MODEL = "Model and indexers"
RUN = "Run"
OUTPUT = "Output"


def option(
    name: str,
    text: str,
    panel: str,
    metavar: str | None = None,
    default: str | None = None,
    defaults: Mapping[str, Any] = NIAH,
) -> Any:
    """An option of a setting, with the setting's default on the help page."""
    shown = default if default is not None else str(defaults[name])
    flag = "--" + name.replace("_", "-")
    return typer.Option(flag, help=text, rich_help_panel=panel, metavar=metavar, show_default=shown)


_LENGTHS = "Context lengths in tokens: 8k..128k doubles, 4k,16k,1m lists, 8k:64k:8k steps; k = 1024."

Lengths = Annotated[str | None, option("lengths", _LENGTHS, GRID, "SPEC")]
FidelityLengths = Annotated[str | None, option("lengths", _LENGTHS, GRID, "SPEC", defaults=FIDELITY)]
RulerLengths = Annotated[str | None, option("lengths", _LENGTHS, GRID, "SPEC", defaults=RULER)]
Depths = Annotated[
    str | None,
    option("depths", "Needle depths: a count, per cents (0,25.5,100) or random:COUNT.", GRID, "SPEC"),
]
Samples = Annotated[int | None, option("samples", "Samples per length, depth and indexer.", GRID, "N")]
RulerSamples = Annotated[
    int | None, option("samples", "Samples per task, length and indexer.", GRID, "N", defaults=RULER)
]
RulerTasks = Annotated[
    str | None,
    option(
        "tasks",
        "RULER's tasks (hisa-eval describe ruler), or groups: niah, qa, without-data, all.",
        QUESTION,
        "LIST",
        "all that have their data",
    ),
]
RulerData = Annotated[
    str | None,
    option("data", "Questions of qa_1 and qa_2: their file, or its folder.", QUESTION, "PATH", "none"),
]
Suite = Annotated[
    str | None,
    option(
        "suite",
        "mini (generated, not LongBench), v1 (21 data sets), e (LongBench-E, 13) or v2 (multiple choice).",
        QUESTION,
        "NAME",
        "v1 with --data, else mini",
    ),
]
DataSets = Annotated[
    str | None,
    option(
        "tasks",
        "Data sets, categories (single, multi, ...) or languages (en, zh).",
        QUESTION,
        "LIST",
        "all of the suite",
    ),
]
Rows = Annotated[
    int | None,
    option("samples", "Rows of each data set, by hash; 10 lie inside 20.", QUESTION, "N", "all"),
]
LongBenchData = Annotated[
    str | None,
    option("data", "Official files: a folder, data.zip, or one file.", QUESTION, "PATH", "the hub's"),
]
AnyData = Annotated[
    str | None,
    option("data", "ruler's QA questions, or LongBench's files: a folder or file.", QUESTION, "PATH", "none"),
]
Partial = Annotated[
    bool | None,
    typer.Option(
        "--partial/--whole",
        help="Take files that have not the official number of rows.",
        rich_help_panel=QUESTION,
        show_default="whole",
    ),
]
Truncate = Annotated[
    str | None,
    option(
        "truncate",
        "A prompt that is too long fails (error), or loses its middle (middle) and is counted as cut.",
        QUESTION,
        "RULE",
        None,
        LONGBENCH,
    ),
]
MaxPromptTokens = Annotated[
    int | None,
    option("max_prompt_tokens", "Most tokens of a prompt.", QUESTION, "N", "what the model has room for"),
]
CodeSimilarity = Annotated[
    str | None,
    option(
        "code_similarity",
        "Metric of lcc and repobench-p: difflib or rapidfuzz.",
        QUESTION,
        "NAME",
        None,
        LONGBENCH,
    ),
]
ChatTemplate = Annotated[
    str | None,
    option(
        "chat_template",
        "auto puts the model's chat template around a prompt where LongBench does (not for trec, triviaqa, "
        "samsum, lsht, lcc, repobench-p), on everywhere, off nowhere.",
        QUESTION,
        "RULE",
        None,
        LONGBENCH,
    ),
]
Thinking = Annotated[
    str | None,
    option(
        "thinking",
        "none scores an answer as it is, think-tags what follows its thinking.",
        QUESTION,
        "RULE",
        None,
        LONGBENCH,
    ),
]
Needle = Annotated[
    str | None,
    option("needle", "What is hidden: a name (hisa-eval list needles) or a YAML file.", QUESTION, "NAME"),
]
Distractors = Annotated[
    int | None,
    option("distractors", "Needles with other keys in the haystack.", QUESTION, "N", "the needle's own"),
]
Haystack = Annotated[
    str | None,
    option("haystack", "Where it is hidden: prose, noise, needles, or a folder of texts.", QUESTION, "NAME"),
]
MaxNewTokens = Annotated[
    int | None,
    option("max_new_tokens", "Room for the answer in tokens.", QUESTION, "N", "the task's own"),
]
Indexers = Annotated[
    str | None,
    option(
        "indexer",
        "Who selects, options inline: dsa,hisa:block_size=64,num_blocks=128.",
        MODEL,
        "LIST",
    ),
]
_WHO = "Who answers: hisa-eval list models, a folder, OWNER/NAME, or http://HOST:PORT/v1#MODEL."
ModelName = Annotated[
    str | None,
    option(
        "model",
        _WHO,
        MODEL,
        "NAME",
    ),
]
LongBenchModel = Annotated[
    str | None,
    option(
        "model",
        _WHO,
        MODEL,
        "NAME",
        "nano; nano-mini for mini",
        LONGBENCH,
    ),
]
TopK = Annotated[int | None, option("topk", "Token budget k of the indexer.", MODEL, "K", "the model's own")]
Device = Annotated[str | None, option("device", "auto, cpu or cuda.", MODEL, "NAME")]
Dtype = Annotated[
    str | None, option("dtype", "auto (f32 on a CPU, bf16 on CUDA), f32 or bf16.", MODEL, "NAME")
]
Spread = Annotated[str | None, option("spread", "one GPU, or layers: some on each of several.", MODEL, "HOW")]
TokenizerName = Annotated[
    str | None,
    option("tokenizer", "Of a served model: a name, folder or OWNER/NAME.", MODEL, "NAME", "the model's own"),
]
Label = Annotated[
    str | None,
    option("label", "What you claim of a server: indexer=hisa.", MODEL, "indexer=NAME", "unattested"),
]
Concurrency = Annotated[
    int | None, option("concurrency", "Requests that a server gets at the same time.", MODEL, "N")
]
Seed = Annotated[int | None, option("seed", "Decides all that is drawn at random.", GRID, "N")]
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
Probe = Annotated[
    bool | None,
    typer.Option(
        "--probe/--no-probe",
        help="Also compare each selection with flat DSA's on the same queries.",
        rich_help_panel=MODEL,
        show_default="probe",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Folder of the run, taken literally.",
        rich_help_panel=RUN,
        metavar="DIR",
        show_default="results/<command>-<time>-<hash>",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume",
        help="Finish a run of the same settings that was stopped.",
        rich_help_panel=RUN,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        help="CPU threads.",
        min=1,
        metavar="N",
        rich_help_panel=RUN,
        show_default="one per core",
    ),
]
AllowFailures = Annotated[
    bool,
    typer.Option("--allow-failures", help="Exit with 0 although samples failed.", rich_help_panel=RUN),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show cells, tokens, memory and expected time.", rich_help_panel=RUN),
]
WithReport = Annotated[
    bool,
    typer.Option(
        "--report/--no-report",
        help="Draw tables, figures and report.html at the end.",
        rich_help_panel=OUTPUT,
    ),
]
ShowConfig = Annotated[
    bool,
    typer.Option("--show-config", help="Show each setting and where it came from.", rich_help_panel=RUN),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only results and errors.", rich_help_panel=OUTPUT)
]
