"""`python -m benchmarks --out DIR`: times every pipeline side by side with its peers.

A contestant that loses the device context ends the process that measures, never the run: a new process goes
on with what is left. Kernels are compiled beforehand by several processes at once, outside the timing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.plan import cases_of, contestants_of, lengths
from hisa_kernels.measure.records import FORMAT_VERSION, MANIFEST, Records, write_csv

INTERNAL = ("worker", "again", "until", "compile")
"""Options that the command gives to its own processes."""

COMPILED = "compiled.json"
"""How long compiling beforehand took; copied into the manifest."""

AGAIN = 75
"""Exit code of a process that asks for a successor."""

MOST_RESTARTS = 12

LONGEST_COMPILED = 128 * 1024
"""Longer contexts use the kernels of this one; only what compiles for every length is run on them."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser("benchmarks", description="Time selection pipelines side by side.")
    add = made.add_argument
    add("--out", required=True, help="folder of the results; a stopped run there is finished")
    add("--lengths", default="8k..128k", help="contexts: 8k..128k doubles, 8k,64k lists")
    add("--queries", default="4096,1024", help="queries at the end of each context")
    add("--memory", default="1m", help="contexts measured for their memory, first number of --queries only")
    add("--nano", default="8k,64k", help="contexts in the embedded model's shape, 4 heads of 64 in bf16")
    add("--attention", default="64k", help="contexts of sparse MLA, 128 heads over latents of 576")
    add("--decode", default="128k", help="contexts of decoding")
    add("--batch", type=int, default=32, help="sequences of decoding, one query each")
    add("--heads", type=int, default=64)
    add("--dim", type=int, default=128)
    add("--dtype", default="fp8", choices=("fp8", "bf16", "f32"))
    add("--topk", type=int, default=2048)
    add("--block-size", type=int, default=128)
    add("--num-blocks", type=int, default=64, help="fixed budget of blocks")
    add("--ratio", type=float, default=4.0, help="second budget: blocks of the context over this; 0: none")
    add("--inputs", help="safetensors file of a model's q, k, weights (hisa-eval latency --dump-inputs)")
    add("--tilelang-examples", help="checkout of tile-ai/tilelang, its examples, or their files side by side")
    add("--methods", default="", help="only contestants whose name contains one of these")
    add("--reference", action="store_true", help="time the plain PyTorch operators too")
    add("--budget-ms", type=float, default=150.0, help="time for the timed passes of one measurement")
    add("--jobs", type=int, default=0, help="processes that compile kernels beforehand; 0: as needed")
    add("--compile-only", action="store_true", help="compile kernels and measure nothing")
    add("--seconds", type=float, default=0.0, help="start no measurement after this long; 0 never stops")
    add("--device", default="cuda", choices=("cuda", "cpu"))
    add("--revision", default=None, help="git revision, where the sources are no checkout")
    add("--no-report", action="store_true", help="leave tables and figures to hisa-eval latency --from")
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    add("--again", action="store_true", help=argparse.SUPPRESS)
    add("--compile", type=int, default=None, help=argparse.SUPPRESS)
    add("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    try:
        lengths(f"{options.lengths},{options.memory},{options.nano},{options.attention},{options.decode}")
    except ValueError as error:
        print(f"error: {error} – write lengths as 8k..128k or 8k,64k", file=sys.stderr)
        return 2
    if options.compile is not None:
        return compile_part(options)
    return work(options) if options.worker else supervise(options, arguments)


def supervise(options: argparse.Namespace, arguments: list[str]) -> int:
    """Compile, then measure in a process of its own, as often as it takes."""
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        print("error: torch sees no GPU – pass --device cpu for the reference operators", file=sys.stderr)
        return 2
    began = time.monotonic()
    out = Path(options.out)
    Records(out)
    until = time.time() + options.seconds if options.seconds else 0.0
    if options.jobs:
        compile_all(options, arguments)
    compiled = time.monotonic() - began
    if options.jobs:
        note = {"seconds": round(compiled, 1), "processes": options.jobs, "who": "everybody who took part"}
        (out / COMPILED).write_text(json.dumps(note) + "\n", encoding="utf-8")
    print(f"compiled in {compiled:.0f} s", flush=True)
    command = [sys.executable, "-m", "benchmarks", *arguments, "--worker", "--until", str(until)]
    if options.compile_only:
        return 0
    known = -1
    for turn in range(MOST_RESTARTS):
        code = subprocess.call([*command, "--again"] if turn else command)
        records = Records(out).finished()
        if code == 0 or len(records) == known:
            break
        known = len(records)
        print(f"measuring process ended with {code}: going on in a new one", flush=True)
    if code:
        print(f"error: the measuring process ended with {code} – see above", file=sys.stderr)
    write_csv(out / "results.csv", records)
    (out / "results.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    from hisa_kernels.measure.summary import markdown

    tables = markdown(records)
    (out / "tables.md").write_text(tables, encoding="utf-8")
    print(tables)
    seconds = time.monotonic() - began
    print(f"{len(records)} measurements in {seconds:.0f} s, {compiled:.0f} s of them compiling: {out}")
    if not options.no_report:
        report(out)
    return 1 if code or any(record["status"] in ("red", "failed", "crashed") for record in records) else 0


def report(out: Path) -> None:
    """Have the harness draw the figure, where it is installed; this package does not import it."""
    done = subprocess.run(
        [sys.executable, "-m", "hisa_eval", "latency", "--from", str(out), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"no figure: {done.stderr.strip()[-300:]}", file=sys.stderr)


def compile_all(options: argparse.Namespace, arguments: list[str]) -> None:
    """Run every contestant once on every case, in several processes that share one cache on the disk."""
    command = [sys.executable, "-m", "benchmarks", *arguments, "--compile"]
    children = [subprocess.Popen([*command, str(part)]) for part in range(options.jobs)]
    for child in children:
        child.wait()


def compile_part(options: argparse.Namespace) -> int:
    """This process's share of `compile_all`; a contestant that breaks the device ends it early."""
    from hisa_kernels.measure.bench import jobs, warm

    tasks = [
        (one, case)
        for case, one in jobs(contestants_of(options), cases_of(options))
        if one.every_case or case.context <= LONGEST_COMPILED
    ]
    for line in warm(tasks[options.compile :: options.jobs], options.device):
        print(f"while compiling: {line[:300]}", flush=True)
    return 0


def work(options: argparse.Namespace) -> int:
    """Measure what the folder does not know yet."""
    from hisa_kernels.measure.bench import DeviceLostError, measure
    from hisa_kernels.measure.ceilings import Ceilings, measure_ceilings
    from hisa_kernels.measure.facts import gpu_state
    from hisa_kernels.measure.inputs import read_dump

    out = Path(options.out)
    if options.again:
        earlier = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        states, ceilings = earlier["gpu_state"], Ceilings(**earlier["ceilings"])
    else:
        states = {"before": gpu_state()}
        ceilings = measure_ceilings(options.device)
        states["after matrix products"] = gpu_state()
    write_manifest(out, options, ceilings.facts(), states)
    dumps = {}
    if options.inputs:
        dumps[Path(options.inputs).stem] = read_dump(Path(options.inputs))
    cases = cases_of(options, {name: len(dump["k"]) for name, dump in dumps.items()})
    records = Records(out)
    try:
        measure(
            contestants_of(options),
            cases,
            records,
            ceilings,
            options.device,
            dumps=dumps,
            budget_ms=options.budget_ms,
            until=options.until,
            tell=tell,
        )
    except DeviceLostError:
        return AGAIN
    states["after"] = gpu_state()
    write_manifest(out, options, ceilings.facts(), states)
    return 0


def tell(record: dict[str, Any]) -> None:
    """One short line a measurement."""
    case = record["case"]
    found = f"{record['total']['ms']:.3f} ms" if record["status"] == "ok" else record["status"].upper()
    reason = f" ({record['reason'][:160]})" if record.get("reason") else ""
    where = f"{case['queries']}x{case['context']} {case['mode']} {case['inputs']}"
    print(f"{record['method']}, {where}: {found}{reason}", flush=True)


def write_manifest(
    out: Path, options: argparse.Namespace, ceilings: dict[str, object], states: dict[str, Any]
) -> None:
    """What was measured, on what, how."""
    import platform

    from hisa_kernels.measure.clock import METHOD
    from hisa_kernels.measure.facts import device_facts, revision, versions
    from hisa_kernels.measure.gate import LEAST, ROWS, TIE

    compiled = out / COMPILED
    (out / MANIFEST).write_text(
        json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "command": "benchmarks",
                "settings": {name: value for name, value in vars(options).items() if name not in INTERNAL},
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "git": options.revision or revision(),
                "versions": versions(),
                "platform": platform.platform(),
                "device": device_facts(options.device),
                "gpu_state": states,
                "ceilings": ceilings,
                "compiling": json.loads(compiled.read_text(encoding="utf-8")) if compiled.is_file() else None,
                "method": METHOD,
                "gate": {"rows": ROWS, "least_outside_ties": LEAST, "token_tie": TIE},
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    sys.exit(main())
