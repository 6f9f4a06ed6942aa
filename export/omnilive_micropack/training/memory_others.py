"""Clips of recent lessons, kept as further wrong or right answers. They move no weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omnilive_micropack.training.memory_asks import Asked
from omnilive_micropack.training.memory_things import ANY, ASPECTS, UNCLEAR, Rights
from omnilive_micropack.training.vision_labels import KINDS
from omnilive_micropack.vocabulary import OBJECTS

OTHERS_KEPT = 256
"""Clips of recent lessons kept as wrong answers."""


class OtherClips(nn.Module):
    """Ĥ of recent lessons' clips and the kinds seen in them, oldest overwritten."""

    features: Tensor
    kinds: Tensor
    next: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(OTHERS_KEPT, width))
        # Before it is first written a row holds every kind, and so is wrong for no question.
        self.register_buffer("kinds", torch.ones(OTHERS_KEPT, len(KINDS), dtype=torch.bool))
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))

    def add(self, features: Tensor, kinds: Tensor) -> None:
        """Take rows [N, C] and [N, kinds] in."""
        at = (int(self.next) + torch.arange(len(features))) % OTHERS_KEPT
        self.features[at] = features.detach().float()
        self.kinds[at] = kinds
        self.next.fill_((int(self.next) + len(features)) % OTHERS_KEPT)


class OtherAsked(nn.Module):
    """Ĥ of recent clips and what they show, oldest overwritten."""

    features: Tensor
    objects: Tensor
    next: Tensor

    def __init__(self, kept: int, width: int) -> None:
        super().__init__()
        self.kept = kept
        self.register_buffer("features", torch.zeros(kept, width))
        shape = (kept, ASPECTS, len(OBJECTS), ANY + 1)
        self.register_buffer("objects", torch.full(shape, UNCLEAR, dtype=torch.int8))
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))

    def add(self, features: Tensor, objects: Rights) -> None:
        """Take rows [N, C] and what they show in."""
        at = (int(self.next) + torch.arange(len(features))) % self.kept
        self.features[at] = features.detach().float()
        self.objects[at] = torch.from_numpy(objects)
        self.next.fill_((int(self.next) + len(features)) % self.kept)

    def rights(self, asked: Asked) -> Tensor:
        """Which are right, wrong or unclear for a question: int8 [N]."""
        if asked.subject is None:
            return torch.full((self.kept,), UNCLEAR, dtype=torch.int8)
        aspect, kind, colour = asked.subject
        return self.objects[:, aspect, kind, colour]
