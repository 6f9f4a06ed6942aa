"""The projectors into the reasoner's space, ``vision_proj`` and ``video_mem_proj``.

It reads no file and takes no step.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import gelu


class Projector(nn.Module):
    """Linear, GELU, linear (spec §1.3), on features brought to mean 0 and spread 1.

    Features of a tower have a large common part, on which a projector learns slowly; ``tensors``
    moves the change of scale into the first matrix, where the checkpoint has it.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        """Draw the weights from torch's generator; the scale is one until ``fit``."""
        super().__init__()
        self.first = nn.Linear(inputs, outputs)
        self.second = nn.Linear(outputs, outputs)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(()))

    def fit(self, rows: torch.Tensor) -> None:
        """Take the scale from features [N, inputs]."""
        rows = rows.float()
        self.mean.copy_(rows.mean(dim=0))
        self.spread.copy_((rows - self.mean).pow(2).mean().sqrt())

    def rescale(self, rows: torch.Tensor) -> None:
        """Take the scale from features [N, inputs]; what is computed of them stays the same."""
        written = self.tensors()
        self.fit(rows)
        with torch.no_grad():
            self.first.bias.copy_(written["0.bias"] + written["0.weight"] @ self.mean)
            self.first.weight.copy_(written["0.weight"] * self.spread)

    def take(self, tensors: Mapping[str, torch.Tensor], name: str) -> None:
        """Take the checkpoint's tensors of this name; the scale is one until ``rescale``."""
        self.mean.zero_()
        self.spread.fill_(1.0)
        with torch.no_grad():
            for index, linear in (("0", self.first), ("2", self.second)):
                linear.weight.copy_(tensors[f"{name}.{index}.weight"])
                linear.bias.copy_(tensors[f"{name}.{index}.bias"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., inputs] to [..., outputs]."""
        return self.second(gelu(self.first((x - self.mean) / self.spread)))

    def tensors(self) -> dict[str, torch.Tensor]:
        """The checkpoint's tensors, ``0`` and ``2``."""
        weight = self.first.weight.detach() / self.spread
        return {
            "0.weight": weight,
            "0.bias": self.first.bias.detach() - weight @ self.mean,
            "2.weight": self.second.weight.detach(),
            "2.bias": self.second.bias.detach(),
        }
