"""How badly clips that show an answer are told from clips that do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnilive_micropack.training.memory_data import EncodedClip
from omnilive_micropack.training.memory_things import RIGHT, WRONG


def surprise(logits: Tensor, here: Tensor, right: Tensor) -> Tensor:
    """Mean of -log of the probability that one of the right ones is chosen.

    Args:
        logits: [Q, all] of everything there is to choose.
        here: [Q, K], those of them that may be right.
        right: bool [Q, K], at least one of each row.
    """
    chosen = here.masked_fill(~right, -torch.inf).logsumexp(dim=1)
    return (logits.logsumexp(dim=1) - chosen).mean()


def clip_bits(clips: Sequence[EncodedClip]) -> Tensor:
    """What each clip shows at any time and place of it: float [K, kinds, ATTRIBUTES + 1]."""
    return torch.from_numpy(np.stack([c.bits.max(axis=(0, 1)) for c in clips])).float()


def told_apart(logits: Tensor, right: Tensor) -> Tensor:
    """Mean of -log of the probability that each right one is chosen among all wrong ones.

    Args:
        logits: [Q, N].
        right: right, wrong or unclear: [Q, N].
    """
    wrong = logits.masked_fill(right != WRONG, -torch.inf).logsumexp(dim=1)
    is_right = right == RIGHT
    each = F.softplus(wrong[:, None] - logits) * is_right
    means = each.sum(dim=1) / is_right.sum(dim=1).clamp_min(1)
    asked = is_right.any(dim=1) & (right == WRONG).any(dim=1)
    return means[asked].mean() if bool(asked.any()) else logits.sum() * 0
