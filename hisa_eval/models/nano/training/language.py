"""The language-model loss of training: classes of target bytes, each averaged by itself."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from hisa_eval.models.nano.training.sequences import ANSWER, COPIED, FIRST, FIRST_NAMES, PLAIN

_CLASS_SHARE = {PLAIN: 0.4, COPIED: 0.4, ANSWER: 0.6, FIRST: 1.4}
_CLASS_NAMES = {PLAIN: "text", COPIED: "copied", ANSWER: "answer", FIRST: "first"}


def language_loss(
    model: Any, hidden: Tensor, ids: Tensor, classes: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Next-byte cross-entropy, each class of targets averaged by itself, all first bytes of answers together.

    Args:
        model: The language model.
        hidden: `[B, S, hidden]`.
        ids: Token ids `[B, S]`.
        classes: Target classes `[B, S]`.

    Returns:
        The weighted sum, and per class its mean loss, with the share of answer bytes predicted right; under
        `"kinds"` how many first bytes there are of each of `FIRST_NAMES` and how many are right, `[2, N]`.
    """
    logits = model.lm_head(hidden[:, :-1]).float().flatten(0, 1)
    targets, kinds = ids[:, 1:].flatten(), classes[:, 1:].flatten()
    losses = F.cross_entropy(logits, targets, reduction="none")
    total = losses.new_zeros(())
    parts: dict[str, Tensor] = {}
    for kind, share in _CLASS_SHARE.items():
        members = (kinds >= FIRST if kind == FIRST else kinds == kind).float()
        mean = (losses * members).sum() / members.sum().clamp_min(1.0)
        total = total + share * mean
        parts[_CLASS_NAMES[kind]] = mean.detach()
        if kind in (ANSWER, FIRST):
            right = (logits.argmax(-1) == targets) * members
            parts[_CLASS_NAMES[kind] + "_accuracy"] = right.sum() / members.sum().clamp_min(1.0)
    # The last pass was over the first bytes: how many of each kind there are, and how many are right.
    places = (kinds.long() - FIRST).clamp_min(0)
    counts = losses.new_zeros(2, len(FIRST_NAMES))
    counts[0].scatter_add_(0, places, members)
    counts[1].scatter_add_(0, places, right)
    parts["kinds"] = counts
    return total, parts
