"""What a prefill hands to a comparison, against stock transformers and against the run itself."""

from __future__ import annotations

import torch
from transformers.models.deepseek_v32.modeling_deepseek_v32 import DeepseekV32ForCausalLM

from hisa_eval.fidelity.measure import choose
from hisa_eval.indexers.registry import parse
from hisa_eval.models import registry
from hisa_eval.models.transformers_dsa.capture import capture_frames
from hisa_eval.models.transformers_dsa.seams import load_swapped
from hisa_tasks.niah import NiahTask

LENGTH = 700
ROWS = [0, 3, 255, 256, 400, LENGTH - 1]


def tokens() -> list[int]:
    tokenizer = registry.tokenizer("nano")
    return tokenizer.encode(NiahTask(max_new_tokens=1).sample(LENGTH + 1, 30.0, 0, tokenizer).prompt)


def test_dense_attention_is_that_of_stock_transformers() -> None:
    path = str(registry.folder("nano"))
    stock = DeepseekV32ForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    # Within the budget every key is selected: stock attention is dense there.
    assert stock.config.index_topk >= LENGTH
    with torch.inference_mode():
        wanted = stock.eval()(
            input_ids=torch.tensor([tokens()]), use_cache=False, output_attentions=True
        ).attentions
    model, runtime = load_swapped(path, torch.float32, "cpu")
    frames = capture_frames(model, runtime, tokens(), ROWS, chunk=256)
    assert len(frames) == len(wanted) == 3
    for frame, layer in zip(frames, wanted, strict=True):
        assert frame.attention is not None
        torch.testing.assert_close(frame.attention, layer[0].mean(0)[ROWS], atol=1e-5, rtol=1e-4)
        assert frame.ends.tolist() == [row + 1 for row in ROWS]
        assert frame.k.shape[0] == LENGTH


def test_captured_inputs_select_what_the_run_selects() -> None:
    model, runtime = load_swapped(str(registry.folder("nano")), torch.float32, "cpu")
    runtime.topk = 64
    frames = capture_frames(model, runtime, tokens(), ROWS, chunk=LENGTH, attention=False)
    # The last layer selects for nobody in a capture, so the first one is compared.
    chosen = choose(frames[0], parse("dsa"), 64)
    assert frames[0].used is not None
    assert float((chosen == frames[0].used).float().mean()) > 0.99
    assert frames[0].attention is None
    assert runtime.watcher is runtime.taker is None


def test_chunks_do_not_matter() -> None:
    model, runtime = load_swapped(str(registry.folder("nano")), torch.float32, "cpu")
    whole = capture_frames(model, runtime, tokens(), ROWS, chunk=LENGTH)
    parts = capture_frames(model, runtime, tokens(), ROWS, chunk=128)
    for one, other in zip(whole, parts, strict=True):
        for name in ("q", "k", "weights", "attention"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=2e-4, rtol=1e-3)
