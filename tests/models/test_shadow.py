"""One indexer runs the nano model, others select on the same queries: figures are true, nothing changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import GLM, save_tiny
from torch import Tensor

from hisa_eval.fidelity.frame import Frame
from hisa_eval.fidelity.measure import choose
from hisa_eval.fidelity.overlap import overlap
from hisa_eval.indexers.registry import parse
from hisa_eval.models import registry
from hisa_eval.models.lead_in import lead_in
from hisa_eval.models.transformers_dsa.model import TransformersModel
from hisa_tasks.niah import NiahTask
from hisa_tasks.sample import Sample

ROOT = Path(__file__).parents[2]
TOPK, ROWS = 128, 40
HISA = "hisa:block_size=32,num_blocks=8"  # Flat DSA up to 256 visible keys.
RUNNERS = pytest.mark.parametrize("spec", ["dsa", HISA, "block-sparse:block_size=32"])


@pytest.fixture(scope="module")
def model() -> Iterator[TransformersModel]:
    """Nano with a small budget and small chunks, so that everything happens at short lengths."""
    patch = pytest.MonkeyPatch()
    patch.setattr("hisa_eval.models.transformers_dsa.model.CHUNK", {"cpu": 256, "cuda": 256})
    loaded = registry.load("nano", device="cpu", topk=TOPK)
    assert isinstance(loaded, TransformersModel)
    yield loaded
    patch.undo()


@pytest.fixture(scope="module")
def asked(model: TransformersModel) -> Sample:
    return NiahTask(max_new_tokens=8).sample(1100, 30.0, 0, model.tokenizer)


def shadowed(model: TransformersModel, asked: Sample, runner: str) -> list[Frame]:
    return model.capture(asked, rows=ROWS, attention=False, indexer=parse(runner))


def lowest(one: Tensor, other: Tensor) -> float:
    return float(overlap(one, other).iou.min())


@RUNNERS
def test_the_shadow_of_the_running_indexer_is_what_the_model_attended_to(
    model: TransformersModel, asked: Sample, spec: str
) -> None:
    *frames, last = shadowed(model, asked, spec)
    assert len(frames) == 2
    for frame in frames:
        assert frame.used is not None
        assert len(frame.used) == len(frame.ends) == ROWS + 1
        assert lowest(choose(frame, parse(spec), TOPK), frame.used) == 1.0
    if spec != "dsa":
        assert min(lowest(choose(one, parse("dsa"), TOPK), one.used) for one in frames) < 0.9
    assert last.used is None  # Nobody needs its output, so it selected for nobody.


def test_within_its_candidates_hisa_shadows_as_dsa_whoever_runs(
    model: TransformersModel, asked: Sample
) -> None:
    hisa, dsa = parse(HISA), parse("dsa")
    for runner in ("dsa", HISA, "block-sparse:block_size=32"):
        for frame in shadowed(model, asked, runner):
            same = overlap(choose(frame, hisa, TOPK), choose(frame, dsa, TOPK)).iou
            inside = frame.ends <= hisa.exact_below(TOPK)
            assert 0 < int(inside.sum()) < ROWS
            assert set(same[inside].tolist()) == {1.0}
            assert float(same[~inside].min()) < 1.0


def test_who_runs_decides_what_later_layers_see(model: TransformersModel, asked: Sample) -> None:
    flat, hisa = shadowed(model, asked, "dsa"), shadowed(model, asked, HISA)
    blocks = shadowed(model, asked, "block-sparse:block_size=32")
    wide = shadowed(model, asked, "hisa:block_size=32,num_blocks=64")
    for name in ("q", "k", "weights"):
        assert torch.equal(getattr(flat[0], name), getattr(hisa[0], name))
    # With every block a candidate the selections are flat DSA's, and so is all that follows.
    apart = [float((flat[1].q - other[1].q).abs().max()) for other in (wide, hisa, blocks)]
    assert apart[0] < 1e-4 < apart[1] < apart[2]


@RUNNERS
def test_nothing_changes_because_somebody_shadows(model: TransformersModel, asked: Sample, spec: str) -> None:
    indexer, seen = parse(spec), {}
    alone = model.generate(asked, indexer, probe=False)
    probed = model.generate(asked, indexer, probe=True)
    frames = shadowed(model, asked, spec)
    after = model.generate(asked, indexer, probe=False)
    assert alone.text == probed.text == after.text
    assert alone.n_generated > 0
    # The queries that a plain pass asks in its last layer are the ones that were compared.
    model._session.reset()
    model._runtime.begin(indexer)
    prompt, _ = model._encode(asked)
    tokens = [*prompt.tolist(), *lead_in(model.tokenizer, asked.references[0])]
    model._runtime.watcher = lambda layer, q, k, _weights, _ends: seen.setdefault(layer, []).append((q, k))
    with torch.inference_mode():
        for start in range(0, len(tokens), 256):
            part = tokens[start : start + 256]
            model._session._forward(part, start, len(part))
    model._runtime.watcher = None
    model._session.reset()
    for frame in frames:
        rows = frame.ends.long() - 1
        assert torch.equal(torch.cat([q for q, _ in seen[frame.layer]])[rows], frame.q)
        assert torch.equal(seen[frame.layer][-1][1], frame.k)


def test_memory_grows_with_rows_and_not_with_the_square_of_the_context(tmp_path: Path) -> None:
    length, rows, layers = 4096, 64, 2
    folder = save_tiny(tmp_path / "tiny", GLM, num_hidden_layers=layers)
    found = run_driver(folder, "hisa:block_size=16,num_blocks=16", length, rows)
    attention = 4 * rows * length * layers
    # Attention twice while it is put together, and some room; one matrix of all pairs is 64 MiB.
    assert found["shadowed"] - found["plain"] < 2 * attention + 16 * 2**20 < 4 * length**2 / 2


def run_driver(folder: Path, spec: str, length: int, rows: int) -> dict[str, Any]:
    paths = [str(ROOT / part) for part in (".", "kernels", "tasks")]
    path = os.pathsep.join(filter(None, [*paths, os.environ.get("PYTHONPATH", "")]))
    driver = Path(__file__).with_name("shadow_driver.py")
    done = subprocess.run(
        [sys.executable, str(driver), str(folder), spec, str(length), str(rows)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
