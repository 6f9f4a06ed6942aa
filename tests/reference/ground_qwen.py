"""Reference of the compressor: features, clip tokens, and the three passes of spec §2.2 to §2.5.

The formulas are written plainly, each pass from scratch; it never keeps anything between calls, so
it also judges a runtime that reuses keys and values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import Qwen2Model

from .checkpoint import load_strict, qwen2_config, read_config, read_tensors
from .clip_vision import build_tower, hidden_states, mix_2x2

F32 = npt.NDArray[np.float32]
VISION_PREFIX = "model.vision_tower.vision_tower.vision_model."
PROJECTOR_PREFIX = "model.mm_projector."
LANGUAGE_PREFIXES = ("model.embed_tokens.", "model.layers.", "model.norm.")

# The towers a LLaVA config.json only names: CLIP ViT-L/14 at its two published resolutions.
_CLIP_LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
}
NAMED_TOWERS: dict[str, dict[str, Any]] = {
    "clip-vit-large-patch14": {**_CLIP_LARGE, "image_size": 224},
    "clip-vit-large-patch14-336": {**_CLIP_LARGE, "image_size": 336},
}

Tokenize = Callable[[str], list[int]]


def vision_config(folder: Path) -> dict[str, Any]:
    """The tower's config: within config.json, in a folder beside it, or known by its name.

    Raises:
        KeyError: a tower that is only named, by a name other than the public towers'.
    """
    config = read_config(folder)
    if "vision_config" in config:
        return dict(config["vision_config"])
    name = str(config["mm_vision_tower"]).rstrip("/").rsplit("/", 1)[-1]
    return read_config(folder / name) if (folder / name).is_dir() else NAMED_TOWERS[name]


class FrameEncoder:
    """CLIP at the selected layer, 2×2 mixed (spec §2.1)."""

    def __init__(self, folder: Path) -> None:
        self.select_layer = int(read_config(folder)["mm_vision_select_layer"])
        self.tower = build_tower(vision_config(folder), read_tensors(folder, VISION_PREFIX))

    def __call__(self, frames: npt.NDArray[np.uint8]) -> tuple[F32, F32]:
        """Frames uint8 [N, P, P, 3] → features [N, g², 4C] and CLS [N, C] of the same layer."""
        states = hidden_states(self.tower, frames, self.select_layer)
        return mix_2x2(states[:, 1:]).numpy(), states[:, 0].numpy()


class PoolProjector:
    """``mm_projector`` of type pool: features, slots and the global mean through one MLP."""

    def __init__(self, folder: Path) -> None:
        tensors = read_tensors(folder, PROJECTOR_PREFIX)
        inner, inputs = tensors["mlp.0.weight"].shape
        outputs = tensors["mlp.2.weight"].shape[0]
        mlp = nn.Sequential(nn.Linear(inputs, inner), nn.GELU(), nn.Linear(inner, outputs))
        self.module = nn.ModuleDict({"mlp": mlp})
        load_strict(self.module, tensors)
        self.side = round(int(read_config(folder)["pool_num"]) ** 0.5)

    def __call__(self, features: F32) -> F32:
        """Features [T, g², F] → clip tokens [T·g² + slots·T + 1, H] (spec §2.2)."""
        frames, tokens, width = features.shape
        grid = round(tokens**0.5)
        cell = grid // self.side
        maps = torch.from_numpy(features).view(frames, self.side, cell, self.side, cell, width)
        slots = maps.mean(dim=(2, 4)).reshape(-1, width)
        rows = torch.from_numpy(features).reshape(-1, width)
        pooled = torch.cat([rows, slots, rows.mean(dim=0, keepdim=True)])
        with torch.no_grad():
            return self.module["mlp"](pooled).numpy()


class MemoryLanguage:
    """The compressor's Qwen2 without a head: embeddings in, final-norm hidden states out."""

    def __init__(self, folder: Path) -> None:
        tensors = {
            prefix.removeprefix("model.") + rest: tensor
            for prefix in LANGUAGE_PREFIXES
            for rest, tensor in read_tensors(folder, prefix).items()
        }
        self.model = Qwen2Model(qwen2_config(read_config(folder)))
        load_strict(self.model, tensors)

    def embed(self, ids: Sequence[int]) -> F32:
        """Embeddings [n, H] of token ids."""
        with torch.no_grad():
            return self.model.embed_tokens(torch.tensor(ids)).numpy()

    def hidden(self, embeds: F32) -> F32:
        """Hidden states [S, H] after the final norm of embeds [S, H], positions from 0."""
        with torch.no_grad():
            output = self.model(inputs_embeds=torch.from_numpy(embeds)[None], use_cache=False)
        return output.last_hidden_state[0].numpy()


@dataclass(frozen=True)
class ClipMemory:
    """One compressed clip: ``short_term`` H [slots·T, H] and ``global_memory`` Ĥ [H]."""

    short_term: F32
    global_memory: F32


def compress(
    language: MemoryLanguage,
    projector: PoolProjector,
    tokenize: Tokenize,
    features: F32,
    start_s: int,
    end_s: int,
) -> ClipMemory:
    """Compress the features [T, g², F] of one clip (spec §2.3)."""
    text = f"This contains a clip sampled in {start_s} to {end_s} seconds"
    embeds = np.concatenate([language.embed(tokenize(text)), projector(features)])
    hidden = language.hidden(embeds)
    slots = len(features) * projector.side**2
    return ClipMemory(short_term=hidden[-slots - 1 : -1], global_memory=hidden[-1])


def integrate(language: MemoryLanguage, clips: Sequence[ClipMemory]) -> F32:
    """Long-term memory [K, H] of K clips: [H_1 … H_K, Ĥ_1 … Ĥ_K] in, last K out (spec §2.4)."""
    rows = [clip.short_term for clip in clips] + [clip.global_memory[None] for clip in clips]
    return language.hidden(np.concatenate(rows))[-len(clips) :]


def question_feature(
    language: MemoryLanguage, tokenize: Tokenize, long_term: F32, question: str
) -> F32:
    """The feature [H] a question is compared with Ĥ by (spec §2.5)."""
    embeds = np.concatenate([long_term, language.embed(tokenize(question))])
    return language.hidden(embeds)[-1]


def cosine(feature: F32, rows: F32) -> F32:
    """Cosine [K] of a question feature [H] with the per-clip globals [K, H]."""
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(feature)
    return rows @ feature / norms
