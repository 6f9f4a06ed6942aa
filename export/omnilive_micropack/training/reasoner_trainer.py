"""Takes the steps of the reasoner's training: in a fast number type, against float32 weights.

It draws no data and keeps no schedule.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.training.common import compute_dtype, cosine_rate
from omnilive_micropack.training.reasoner_batches import Batch
from omnilive_micropack.training.reasoner_loss import Losses, features_of, losses, meeting_loss
from omnilive_micropack.training.reasoner_model import ReasonerNet
from omnilive_micropack.training.reasoner_start import parameter_groups, start
from omnilive_micropack.training.reasoner_text import PromptText
from omnilive_micropack.training.reasoner_views import field_words
from omnilive_micropack.training.rounding import rounded_to_int4
from omnilive_micropack.training.towers import ClipTower

DECAY = 0.02
BETAS = (0.9, 0.98)
MEETING_RATE = 3e-3
TOWER_SCALE = 0.4
"""Of the learning rate: the tower has learned to see already."""

MOST_GRADIENT = 1.0
QUANTIZED = tuple(f".{name}.weight" for name in ("wqkv", "wo", "w1", "w2", "w3"))
"""Ends of the names of what a pack holds in int4; it holds the rest in 8 bits."""


class ReasonerTrainer:
    """The net and its optimizer."""

    def __init__(self, dims: FamilyDims, tower: ClipTower, text: PromptText, seed: int) -> None:
        """Draw the start values from ``seed``; ``tower`` goes on learning."""
        torch.manual_seed(seed)
        self.tower = tower.requires_grad_(True)
        self.net = ReasonerNet(dims)
        start(self.net, text)
        self.fields = field_words(text)
        self.rounded = False
        self.fast = copy.deepcopy(self.net).to(compute_dtype())
        self.optimizer = torch.optim.AdamW(
            [*parameter_groups(self.net, DECAY), *self._tower_groups()],
            lr=1.0,
            betas=BETAS,
            fused=True,
        )

    @property
    def parts(self) -> dict[str, Any]:
        """What a stopped training needs to go on."""
        return {"net": self.net, "tower": self.tower, "optimizer": self.optimizer}

    def _tower_groups(self) -> list[dict[str, object]]:
        decayed = [p for p in self.tower.parameters() if p.dim() > 1]
        others = [p for p in self.tower.parameters() if p.dim() == 1]
        return [
            {"params": decayed, "scale": TOWER_SCALE, "weight_decay": DECAY},
            {"params": others, "scale": TOWER_SCALE, "weight_decay": 0.0},
        ]

    def losses(self, batch: Batch) -> Losses:
        """All losses of a batch, of the fast weights."""
        return losses(self.fast, self.tower, batch, self.fields)

    def rescale(self, batch: Batch) -> None:
        """Bring the projectors to the scale of what they are given, unchanged in what they do."""
        with torch.no_grad():
            self.net.vision_proj.rescale(features_of(self.tower, batch).float())
        if len(batch.memory):
            self.net.video_mem_proj.rescale(batch.memory)

    def meet(self, batches: Iterator[Batch], steps: int) -> float:
        """Bring image and memory tokens near the words of what they show; the last loss.

        ``batches`` gives one more than ``steps``: the scale is taken from the first.
        """
        net = self.net
        first = next(batches)
        with torch.no_grad():
            net.vision_proj.fit(features_of(self.tower, first))
        parts = [
            *net.vision_proj.parameters(),
            net.plora_glb_GN,
            net.plora_sub_GN,
        ]
        if len(first.memory):
            net.video_mem_proj.fit(first.memory)
            parts += net.video_mem_proj.parameters()
        optimizer = torch.optim.AdamW(parts, lr=MEETING_RATE)
        loss = torch.zeros(())
        for step, batch in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = cosine_rate(step, steps, 5, MEETING_RATE)
            loss = meeting_loss(net, self.tower, batch, self.fields)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.load_fast()
        return float(loss.detach())

    def apply(self, loss: Tensor, rate: float) -> None:
        """One step down the gradient of a loss of the fast weights."""
        self.fast.zero_grad()
        self.tower.zero_grad()
        loss.backward()
        for wide, narrow in zip(self.net.parameters(), self.fast.parameters(), strict=True):
            wide.grad = None if narrow.grad is None else narrow.grad.float()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), MOST_GRADIENT)
        torch.nn.utils.clip_grad_norm_(self.tower.parameters(), MOST_GRADIENT)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimizer.step()
        self.load_fast()

    def round_weights(self, rounded: bool) -> None:
        """Take decoder matrices as an int4 pack will hold them from the next step on, or not."""
        if self.rounded != rounded:
            self.rounded = rounded
            self.load_fast()

    def load_fast(self) -> None:
        """Bring the fast weights up to date.

        While ``rounded``, decoder matrices are taken as an int4 pack will hold them, and the
        gradient of the rounded weights moves the float32 ones.
        """
        with torch.no_grad():
            for (name, wide), narrow in zip(
                self.net.named_parameters(), self.fast.parameters(), strict=True
            ):
                is_matrix = self.rounded and name.endswith(QUANTIZED)
                narrow.copy_(rounded_to_int4(wide) if is_matrix else wide)
            for wide, narrow in zip(self.net.buffers(), self.fast.buffers(), strict=True):
                narrow.copy_(wide)
