"""The nano checkpoints through the seams against stock transformers, beyond the token budget."""

from __future__ import annotations

import pytest
import torch
from transformers.models.deepseek_v32.modeling_deepseek_v32 import DeepseekV32ForCausalLM

from hisa_eval.indexers.dsa import DsaIndexer
from hisa_eval.models import registry
from hisa_eval.models.tokens import CheckpointTokenizer
from hisa_eval.models.transformers_dsa.seams import load_swapped
from hisa_eval.models.transformers_dsa.session import Session
from hisa_tasks.niah import NiahTask

LENGTH = 2432  # 2304 prompt tokens: 256 rows see more than k = 2048 keys
NAMES = ("nano", "nano-mini", "nano-hier")


def prompt(name: str) -> list[int]:
    tokenizer = CheckpointTokenizer(registry.folder(name))
    return tokenizer.encode(NiahTask().sample(LENGTH, 30.0, 0, tokenizer).prompt)


@pytest.fixture(scope="module", params=NAMES)
def stock(request: pytest.FixtureRequest) -> tuple[str, list[int], torch.Tensor]:
    """Name, prompt, and stock eager logits of every position."""
    path = registry.folder(request.param)
    model = DeepseekV32ForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    tokens = prompt(request.param)
    with torch.inference_mode():
        logits = model.eval()(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    return request.param, tokens, logits


def swapped_logits(name: str, tokens: list[int], chunks: list[int], topk: int | None = None) -> torch.Tensor:
    model, runtime = load_swapped(str(registry.folder(name)), torch.float32, "cpu")
    runtime.topk = topk or runtime.topk
    session = Session(model, runtime, chunk=512, stop_ids=[1])
    runtime.begin(DsaIndexer())
    parts, at = [], 0
    with torch.inference_mode():
        for size in chunks:
            parts.append(model.lm_head(session._forward(tokens[at : at + size], at, None))[0])
            at += size
    return torch.cat(parts)


def test_logits_are_those_of_stock_transformers(stock: tuple[str, list[int], torch.Tensor]) -> None:
    name, tokens, wanted = stock
    found = swapped_logits(name, tokens, [len(tokens)])
    # Both compute in f32; what differs is the order of sums over 2048 keys and 256 channels, relative to
    # logits of this size. A key selected by one and not the other shows as a jump and is allowed in one row
    # of a thousand, where two scores agree to the last bits.
    scale = wanted.abs().max().item()
    off = (found - wanted).abs().amax(1) > 64 * torch.finfo(torch.float32).eps * scale
    assert off.float().mean().item() <= 1e-3, f"{int(off.sum())} of {len(off)} rows differ"
    assert torch.equal(found[-1].argmax(), wanted[-1].argmax())


def test_the_tolerance_notices_another_budget(stock: tuple[str, list[int], torch.Tensor]) -> None:
    name, tokens, wanted = stock
    found = swapped_logits(name, tokens, [len(tokens)], topk=512)
    scale = wanted.abs().max().item()
    off = (found - wanted).abs().amax(1) > 64 * torch.finfo(torch.float32).eps * scale
    assert off[512:].float().mean().item() > 0.1


def test_chunks_and_single_tokens_give_the_same_logits(stock: tuple[str, list[int], torch.Tensor]) -> None:
    name, tokens, wanted = stock
    found = swapped_logits(name, tokens, [1000, 1, 255, len(tokens) - 1258, 1, 1])
    scale = wanted.abs().max().item()
    off = (found - wanted).abs().amax(1) > 64 * torch.finfo(torch.float32).eps * scale
    assert off.float().mean().item() <= 2e-3
