"""IndexCache held against flat DSA on the layers of the nano model, and on layers that do not follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hisa_eval.config.fidelity import fidelity_settings
from hisa_eval.fidelity.frame import Frame
from hisa_eval.fidelity.measure import choose, listed
from hisa_eval.fidelity.overlap import overlap
from hisa_eval.indexers.registry import parse
from hisa_eval.run.fidelity import PlannedFidelity, plan_fidelity
from hisa_eval.run.fidelity_compare import compare_on

TOPK = 256
HISA = "hisa:block_size=32,num_blocks=16"
OVER = "over=hisa/block_size=32/num_blocks=16"


@pytest.fixture(scope="module")
def run() -> PlannedFidelity:
    chosen = [HISA, "index-cache:every=2", "index-cache:every=3", f"index-cache:every=1,{OVER}"]
    values = {
        "lengths": "4k",
        "depths": "50%",
        "rows": 12,
        "topk": TOPK,
        "device": "cpu",
        "indexer": ",".join(chosen),
        "attention": False,
        "precisions": "bf16",
    }
    planned = plan_fidelity(fidelity_settings(values))
    planned.source.open()
    return planned


@pytest.fixture(scope="module")
def frames(run: PlannedFidelity) -> list[Frame]:
    return run.source.frames(run.source.places[0])


def compared(run: PlannedFidelity, frames: list[Frame]) -> dict[str, dict[str, Any]]:
    """Records by indexer, from inputs that are at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.source, "frames", lambda place: frames)
        found = compare_on(run, run.source.places[0], list(run.answerer.indexers))
    return {one["indexer"]: one for one in found}


def test_a_shared_layer_has_the_recall_of_the_keys_it_takes_over(
    run: PlannedFidelity, frames: list[Frame]
) -> None:
    found = compared(run, frames)
    flat = [choose(frame, parse("dsa"), TOPK) for frame in frames]
    for every, sources in ((2, [0, 0, 2]), (3, [0, 0, 0])):
        details = found[f"index-cache:every={every}"]["details"]
        for layer, source in enumerate(sources):
            own = details["layers"][layer]
            assert own["recall"] == listed(overlap(flat[source], flat[layer]).recall)
            assert own["iou"] == listed(overlap(flat[source], flat[layer]).iou)
            if source == layer:
                assert set(own["recall"]) == {1.0}
            else:
                # Rows that see no more than k keys select all of them in every layer.
                beyond = [
                    value for value, n in zip(own["recall"], details["visible"], strict=True) if n > TOPK
                ]
                assert len(beyond) > 8
                assert max(beyond) < 1
    # What selects in every layer is the indexer that it wraps.
    wrapped, hisa = found[f"index-cache:{OVER},every=1"], found[HISA]
    for one, other in zip(wrapped["details"]["layers"], hisa["details"]["layers"], strict=True):
        for name in ("iou", "recall", "mass", "evidence", "kept"):
            assert one[name] == other[name]


def test_its_cost_is_the_mean_over_layers_and_its_noise_is_not_measured(
    run: PlannedFidelity, frames: list[Frame]
) -> None:
    found = {label: one["details"] for label, one in compared(run, frames).items()}
    visible = int(frames[0].ends[-1])
    assert found["dsa"]["scored_keys"] == visible
    assert found["index-cache:every=2"]["scored_keys"] == pytest.approx(visible * 2 / 3)
    assert found["index-cache:every=3"]["scored_keys"] == pytest.approx(visible / 3)
    assert found[f"index-cache:{OVER},every=1"]["scored_keys"] == found[HISA]["scored_keys"]
    assert {tuple(one["noise"]) for one in found[HISA]["layers"]} == {("bf16",)}
    assert {tuple(one["noise"]) for one in found["index-cache:every=2"]["layers"]} == {()}


def test_layers_that_do_not_follow_each_other_fail_with_the_reason(
    run: PlannedFidelity, frames: list[Frame]
) -> None:
    found = compared(run, [frames[0], replace(frames[1], layer=4)])
    assert found[HISA]["status"] == "ok"
    assert found["index-cache:every=2"]["status"] == "failed"
    assert "the inputs hold no others than 0, 4" in found["index-cache:every=2"]["reason"]
