"""What a tower is trained by: linear heads on its patches, and the class token's likeness of rooms.

The heads are thrown away after training. Kind and colour have heads of their own, so that a kind in
a colour never shown together is still read right.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnilive_micropack.training.vision_labels import FIELDS, KIND, ROOM

BACKGROUND_WEIGHT = 0.25
"""Of all patches without a thing together, beside all patches with one."""

ROOMS_APART = 0.0
"""Cosine that class tokens of different rooms are pushed below."""


class PatchHeads(nn.Module):
    """Linear heads on patch tokens, one for each label of ``vision_labels.FIELDS``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, sum(FIELDS.values()))

    def forward(self, patches: Tensor) -> tuple[Tensor, ...]:
        """Logits [B, N, classes] of each field, float32, of tokens [B, N, C]."""
        return self.read(patches).float().split(list(FIELDS.values()), dim=-1)


def patch_loss(logits: tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """Mean cross-entropy over the fields, things weighing more than what is behind them.

    Labels other than kind and room count on things only.

    Args:
        labels: int64 [B, N, len(FIELDS)].
    """
    on_thing = labels[..., KIND] > 0
    weight = _evened(on_thing)
    total = torch.zeros(())
    for field, read in enumerate(logits):
        each = F.cross_entropy(read.flatten(0, 1), labels[..., field].flatten(), reduction="none")
        if field == ROOM:
            total = total + each.mean()
        elif field == KIND:
            total = total + (each * weight.flatten()).sum()
        else:
            things = on_thing.flatten().float()
            total = total + (each * things).sum() / things.sum().clamp(min=1)
    return total / len(logits)


def _evened(on_thing: Tensor) -> Tensor:
    """Weights [B, N] that add up to 1 over things and BACKGROUND_WEIGHT over the rest."""
    things = on_thing.float()
    rest = 1 - things
    per_thing = things / things.sum().clamp(min=1)
    return per_thing + BACKGROUND_WEIGHT * rest / rest.sum().clamp(min=1)


def room_loss(cls: Tensor, rooms: Tensor) -> Tensor:
    """How far class tokens [B, C] are from: one direction per room, rooms apart.

    The cut rule compares the cosine of neighbouring frames (spec §2.9).

    Args:
        rooms: int64 [B].
    """
    unit = F.normalize(cls.float(), dim=-1)
    cosine = unit @ unit.T
    same = rooms[:, None] == rooms[None]
    near = (1 - cosine)[same].mean()
    far = F.relu(cosine - ROOMS_APART)[~same]
    return near + (far.mean() if far.numel() else torch.zeros(()))


def patch_accuracies(logits: tuple[Tensor, ...], labels: Tensor) -> dict[str, float]:
    """Share of patches on things for which each field is right; of all patches for ``room``.

    ``background`` is the share of patches without a thing that are seen to have none.
    """
    on_thing = labels[..., KIND] > 0
    found = {}
    for field, (name, read) in enumerate(zip(FIELDS, logits, strict=True)):
        right = (read.argmax(-1) == labels[..., field]).float()
        found[name] = float((right if field == ROOM else right[on_thing]).mean())
    empty = logits[KIND].argmax(-1)[~on_thing] == 0
    found["background"] = float(empty.float().mean())
    return found
