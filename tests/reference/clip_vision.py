"""Reference of the two CLIP towers: uint8 image to hidden states; never resizes or crops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from .checkpoint import load_strict


def build_tower(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> CLIPVisionModel:
    """Transformers' CLIP vision tower with the checkpoint's ``vision_model.*`` tensors.

    Args:
        config: the vision config (a ``clip_vision_model`` section, or a ``clip`` one around it).
        tensors: named as below ``vision_model.``.
    """
    model = CLIPVisionModel(CLIPVisionConfig(**dict(config.get("vision_config", config))))
    load_strict(model, tensors)
    return model


def hidden_states(
    tower: CLIPVisionModel, images: npt.NDArray[np.uint8], select_layer: int
) -> torch.Tensor:
    """Hidden states [N, 1 + patches, C] of uint8 images [N, P, P, 3].

    ``select_layer`` counts as in LLaVA: index 0 is the input of the first layer, -1 the output of
    the last, before the post-layernorm.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(OPENAI_CLIP_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(OPENAI_CLIP_STD).view(1, 3, 1, 1)
    with torch.no_grad():
        states = tower((pixels - mean) / std, output_hidden_states=True).hidden_states
    assert states is not None and len(states) == tower.config.num_hidden_layers + 1
    return states[select_layer]


def mix_2x2(patches: torch.Tensor) -> torch.Tensor:
    """[N, (2g)², C] → [N, g², 4C]: row in block, column in block, channel (spec §2.1.3)."""
    count, tokens, channels = patches.shape
    grid = round(tokens**0.5) // 2
    blocks = patches.reshape(count, grid, 2, grid, 2, channels).transpose(2, 3)
    return blocks.reshape(count, grid * grid, 4 * channels)
