"""Files of indexer inputs: what is written comes back, what does not fit is refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hisa_eval.errors import UserError
from hisa_eval.fidelity.dump_file import read_dump, read_facts, write_dump
from hisa_eval.fidelity.synthetic import make_frame

Q, K, W = torch.zeros(4, 2, 8), torch.zeros(32, 8), torch.zeros(4, 2)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    frame = make_frame("spikes", 200, rows=9, heads=2, dim=8, seed=1)
    layers = [replace(frame, layer=number, lead_in=2) for number in (0, 3)]
    write_dump(tmp_path / "deep" / "x.safetensors", layers, {"model": "none"})
    found = read_dump(tmp_path / "deep" / "x.safetensors", rows=100, seed=0)
    assert [one.layer for one in found] == [0, 3]
    for name in ("q", "k", "weights", "ends"):
        assert torch.equal(getattr(found[1], name), getattr(frame, name))
    assert found[0].evidence == frame.evidence
    assert [one.lead_in for one in found] == [2, 2]
    assert read_facts(tmp_path / "deep" / "x.safetensors") == {"model": "none"}


def test_fewer_rows_end_with_the_last(tmp_path: Path) -> None:
    frame = make_frame("local", 200, rows=50, heads=2, dim=8, seed=1)
    write_dump(tmp_path / "x.safetensors", [frame], {})
    found = read_dump(tmp_path / "x.safetensors", rows=5, seed=0)[0]
    assert len(found.q) in (5, 6)
    assert int(found.ends[-1]) == 200


def test_the_layout_of_latency_inputs_is_read(tmp_path: Path) -> None:
    save_file({"q": Q.bfloat16(), "k": K.bfloat16(), "weights": W}, str(tmp_path / "x.safetensors"))
    found = read_dump(tmp_path / "x.safetensors", rows=10, seed=0)
    assert [one.layer for one in found] == [0]
    assert found[0].ends.tolist() == [29, 30, 31, 32]
    assert found[0].q.dtype == torch.float32


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"a": Q}, "no indexer inputs"),
        ({"layer.0.q": Q, "layer.0.k": K}, "no layer.0.weights"),
        ({"q": Q, "k": torch.zeros(32, 9), "weights": W}, "have shapes"),
        ({"q": Q, "k": K[:2], "weights": W}, "4 rows of 2 keys"),
        ({"q": Q, "k": K, "weights": W, "ends": torch.tensor([1, 2, 3, 33])}, "`ends`"),
        ({"q": Q, "k": K, "weights": W, "lead_in": torch.tensor([1, 2])}, "`lead_in`"),
        ({"q": Q / 0, "k": K, "weights": W}, "NaN or infinity"),
        (
            {"layer.0.q": Q, "layer.0.k": K, "layer.0.weights": W, "layer.0.attention": torch.zeros(4, 3)},
            "attention has shape",
        ),
    ],
)
def test_files_that_do_not_fit_are_one_line(
    tmp_path: Path, tensors: dict[str, torch.Tensor], words: str
) -> None:
    save_file(tensors, str(tmp_path / "x.safetensors"))
    with pytest.raises(UserError) as error:
        read_dump(tmp_path / "x.safetensors", rows=4, seed=0)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_text("not this", encoding="utf-8")
    with pytest.raises(UserError, match="no safetensors file"):
        read_dump(tmp_path / "x.safetensors", rows=4, seed=0)
    with pytest.raises(UserError, match="no safetensors file"):
        read_facts(tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="does not exist"):
        read_dump(tmp_path / "y.safetensors", rows=4, seed=0)
    with pytest.raises(UserError, match="is a folder"):
        write_dump(tmp_path, [make_frame("local", 20, rows=2, heads=1, dim=4, seed=0)], {})
