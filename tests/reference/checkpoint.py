"""Reads configs and weights for the references, strictly; never fills in a missing tensor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import Qwen2Config

# The keys of a Qwen2 config.json that decide its arithmetic; the others concern training or files.
_QWEN2_KEYS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "rope_parameters",
    "tie_word_embeddings",
)


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a folder.

    Raises:
        FileNotFoundError: the folder has none.
    """
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def tensor_files(folder: Path) -> list[Path]:
    """The safetensors shards of a folder, sorted by name.

    Raises:
        FileNotFoundError: the folder has none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{folder}: no *.safetensors")
    return files


def tensor_names(folder: Path) -> set[str]:
    """The names of all tensors of a folder."""
    names: set[str] = set()
    for path in tensor_files(folder):
        with safe_open(path, framework="pt") as shard:
            names.update(shard.keys())
    return names


def read_tensors(folder: Path, prefix: str) -> dict[str, torch.Tensor]:
    """All tensors whose name starts with ``prefix``, as float32, keyed by the rest of the name."""
    tensors: dict[str, torch.Tensor] = {}
    for path in tensor_files(folder):
        with safe_open(path, framework="pt") as shard:
            for name in shard.keys():
                if name.startswith(prefix):
                    tensors[name[len(prefix) :]] = shard.get_tensor(name).float()
    return tensors


def load_strict(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """Give ``module`` exactly these tensors and freeze it.

    Raises:
        RuntimeError: a tensor is missing, unexpected or of another shape.
    """
    module.load_state_dict(dict(tensors), strict=True, assign=True)
    return module.eval().requires_grad_(False)


def qwen2_config(raw: Mapping[str, Any], attention: str = "sdpa") -> Qwen2Config:
    """Transformers' Qwen2 config of a ``config.json`` section.

    A section without ``rope_theta`` gets transformers' default, 10000: the trap of spec §1.2.
    """
    config = Qwen2Config(**{key: raw[key] for key in _QWEN2_KEYS if key in raw})
    config._attn_implementation = attention
    return config
