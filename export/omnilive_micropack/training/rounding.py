"""Weights as an int4 pack will hold them, for training that is to survive it.

Arithmetic only.
"""

from __future__ import annotations

import torch
from torch import Tensor

QUANTIZED_BLOCK = 32
"""Weights per scale of an int4 pack."""


def rounded_to_int4(weight: Tensor) -> Tensor:
    """The values of [n, k] after symmetric int4 block quantization (see ``quantize_rows``)."""
    blocks = weight.unflatten(1, (-1, QUANTIZED_BLOCK))
    top, bottom = blocks.amax(-1, keepdim=True), blocks.amin(-1, keepdim=True)
    scale = torch.where(top > -bottom, top, bottom) / -8.0
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return ((blocks / scale).round().clamp(-8, 7) * scale).flatten(1)
