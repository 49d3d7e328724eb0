"""Trains a nano checkpoint on one GPU in a few minutes.

The plain model, DeepSeek's recipe:
    python -m hisa_eval.models.nano.training.train --recipe plain --out build/nano
A training that was cut in two goes on with --start FOLDER --from-stage N.
The second model, its indexer trained on with a block-level loss:
    python -m hisa_eval.models.nano.training.train --recipe hier --start build/nano --out build/nano-hier
The model of the mini suite, with the suite's kinds of question among the sequences:
    python -m hisa_eval.models.nano.training.train --recipe mini --out build/nano-mini
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hisa_eval.models.nano.architecture import nano_config
from hisa_eval.models.nano.training.attention import build_training_model
from hisa_eval.models.nano.training.loader import batches
from hisa_eval.models.nano.training.sequences import ANSWER, FIRST, FIRST_NAMES
from hisa_eval.models.nano.training.stages import RECIPES, Mixture, Stage
from hisa_eval.models.nano.training.steps import Stepper

_LOG_EVERY = 50


def sample_rows(classes: Tensor, count: int) -> Tensor:
    """Query rows `[B, count]` for the indexer's losses: half anywhere, half just before an answer byte."""
    batch, length = classes.shape
    anywhere = torch.randint(1, length, (batch, count - count // 2), device=classes.device)
    answering = torch.zeros(batch, length, device=classes.device)
    answering[:, :-1] = (classes[:, 1:] == ANSWER).float() + 4 * (classes[:, 1:] >= FIRST).float()
    answering += 1e-6
    return torch.cat((anywhere, torch.multinomial(answering, count // 2, replacement=True)), dim=1)


def learning_rate(stage: Stage | Mixture, progress: float, step: int, warm_up: int) -> float:
    """Geometric from the stage's first to its last rate, linear over the first `warm_up` steps.

    Args:
        stage: The stage.
        progress: Share of it that is done, 0 to 1.
        step: Steps done.
        warm_up: Steps of the linear rise.
    """
    first, last = stage.lr
    return first * (last / first) ** progress * min(1.0, (step + 1) / warm_up)


def train_stage(
    stepper: Stepper,
    stage: Stage | Mixture,
    *,
    seed: int,
    workers: int,
    warm_up: int,
    seconds: float = 0.0,
) -> list[dict[str, Any]]:
    """Run one stage and return its log, one entry every few steps.

    Args:
        stepper: Takes the steps.
        stage: What is trained.
        seed: With the stage's name decides its data.
        workers: Processes that make batches.
        warm_up: Steps over which the learning rate rises.
        seconds: Most time for a mixture, whose learning rates then fall by the clock; 0 for its steps alone.
    """
    model, device = stepper.model, stepper.device
    parts_of = stage.parts if isinstance(stage, Mixture) else (stage,)
    rng = random.Random(f"{seed}/{stage.name}")
    order = [part for part in parts_of for _ in range(part.steps)]
    if len(parts_of) > 1:
        rng.shuffle(order)
    streams = {
        part: batches(part, seed, share)
        for part, share in zip(parts_of, shares(parts_of, workers), strict=True)
    }
    average = stage.average if isinstance(stage, Mixture) else 0.0
    weights = list(model.parameters())
    averages = [p.detach().clone() for p in weights] if average else []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".indexer." in name or not stage.indexer_only)
    log: list[dict[str, Any]] = []
    found = torch.zeros(2, len(FIRST_NAMES), device=device)
    began = time.monotonic()
    for step, part in enumerate(order):
        ids, classes = (t.to(device, non_blocking=True) for t in next(streams[part]))
        topk = rng.choice(part.budgets) if part.budgets else None
        done = step / max(1, stage.steps - 1)
        if seconds and isinstance(stage, Mixture):
            done = max(done, (time.monotonic() - began) / seconds)
            if done > 1:
                break
        stepper.set_rate(learning_rate(stage, done, step, warm_up))
        rows = sample_rows(classes, part.rows)
        outcome = stepper.step(part, ids, classes, rows, topk, stage.indexer_only)
        if averages:
            torch._foreach_lerp_(averages, [p.detach() for p in weights], 1 - average)
        found += outcome.kinds
        if step % _LOG_EVERY == _LOG_EVERY - 1 or step == stage.steps - 1:
            entry: dict[str, Any] = {"stage": stage.name, "step": step + 1, "tokens": part.length}
            entry |= {name: round(float(value), 4) for name, value in outcome.parts.items()}
            for name in ("kl", "mass", "block"):
                entry[name] = [round(x, 4) for x in getattr(outcome, name).tolist()]
            entry["kinds"] = {
                name: [round(right / count, 3), int(count)]
                for name, count, right in zip(FIRST_NAMES, *found.tolist(), strict=True)
                if count
            }
            found.zero_()
            entry["seconds"] = round(time.monotonic() - began, 1)
            log.append(entry)
            print(json.dumps(entry), flush=True)
    with torch.no_grad():
        for weight, mean in zip(weights, averages, strict=False):
            weight.copy_(mean)
    return log


def shares(parts: Sequence[Stage], workers: int) -> list[int]:
    """How many of the workers make each part's batches: by the tokens they take, at least one each."""
    if not workers:
        return [0] * len(parts)
    tokens = [part.length * part.batch * part.steps for part in parts]
    return [max(1, round(workers * own / sum(tokens))) for own in tokens]


def _revision() -> str | None:
    try:
        return subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def main() -> None:
    """Train and save `model.safetensors` (bf16), `config.json` and `training.json`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="plain")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="folder of the checkpoint to continue")
    parser.add_argument("--from-stage", type=int, default=0, help="skip the stages before this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--seconds", type=float, default=0, help="most time for a mixture, 0 for all its steps"
    )
    parser.add_argument("--eager", action="store_true", help="launch every kernel by itself, no CUDA graphs")
    parser.add_argument("--revision", default=None, help="commit to record where git is not at hand")
    args = parser.parse_args()

    recipe = RECIPES[args.recipe]
    config = nano_config(recipe.layers)
    torch.manual_seed(args.seed)
    model, context = build_training_model(config)
    model.to(args.device)
    if args.start:
        state = load_file(args.start / "model.safetensors", device=args.device)
        model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    graphs = args.device == "cuda" and not args.eager
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=torch.tensor(1e-3, device=args.device) if graphs else 1e-3,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=args.device == "cuda",
        capturable=graphs,
    )
    stepper = Stepper(model, context, optimizer, args.device, graphs)
    began = time.monotonic()
    earlier = args.start / "training.json" if args.from_stage and args.start else None
    parts = json.loads(earlier.read_text())["parts"] if earlier and earlier.exists() else []
    log: list[dict[str, Any]] = []
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for number, stage in list(enumerate(recipe.stages))[args.from_stage :]:
        log += train_stage(
            stepper,
            stage,
            seed=args.seed * 1000 + number,
            workers=args.workers,
            warm_up=100 if number == args.from_stage else 10,
            seconds=args.seconds,
        )
        weights = {
            name: tensor.detach().to(torch.bfloat16).contiguous().cpu()
            for name, tensor in model.state_dict().items()
        }
        save_file(weights, args.out / "model.safetensors", metadata={"format": "pt"})
        # After every stage, so that a training which is cut can go on from the last whole one.
        record = {
            "recipe": args.recipe,
            "seed": args.seed,
            "from_stage": args.from_stage,
            "to_stage": number + 1,
            "mixture_seconds": args.seconds,
            "started_from": args.start.name if args.start else None,
            "revision": args.revision or _revision(),
            "seconds": round(time.monotonic() - began, 1),
            "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
            "torch": torch.__version__,
            "stages": [asdict(one) for one in recipe.stages],
            "log": log,
        }
        (args.out / "training.json").write_text(written([*parts, record]))


def written(parts: list[dict[str, Any]]) -> str:
    """Records of trainings as JSON, each entry of a log on a line of its own."""
    pieces = []
    for part in parts:
        facts = json.dumps({name: value for name, value in part.items() if name != "log"}, indent=1)
        log = ",\n".join(f"  {json.dumps(entry)}" for entry in part["log"])
        pieces.append(f'{facts[:-2]},\n "log": [\n{log}\n ]\n}}')
    return '{"parts": [' + ",\n".join(pieces) + "]}\n"


if __name__ == "__main__":
    main()
