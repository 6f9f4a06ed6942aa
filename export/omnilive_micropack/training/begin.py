"""What a stage begins from when it goes on from the weights of a checkpoint's folders.

It reads and copies files, and trains nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from omnilive.errors import CheckpointError
from omnilive_micropack.training.reasoner_model import ReasonerNet
from omnilive_micropack.training.vision import MEMORY_PREFIX, REASONER_PREFIX


def bring_inputs(start: Path, out: Path) -> None:
    """Take towers and memory out of ``start`` (``memory/`` and ``base/``) where ``out`` has none.

    Raises:
        CheckpointError: ``start`` lacks them.
    """
    (out / "towers").mkdir(parents=True, exist_ok=True)
    for name, folder, prefix in (
        ("reasoner", "base", REASONER_PREFIX),
        ("memory", "memory", MEMORY_PREFIX),
    ):
        path = out / "towers" / f"{name}.safetensors"
        if not path.is_file():
            tensors = folder_tensors(start / folder)
            save_file({k: v for k, v in tensors.items() if k.startswith(prefix)}, path)
    if not (out / "memory" / "model.safetensors").is_file():
        shutil.copytree(start / "memory", out / "memory", dirs_exist_ok=True)


def folder_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a model's folder, in one file or in shards.

    Raises:
        CheckpointError: there is no such file.
    """
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        tensors.update(load_file(path))
    if not tensors:
        raise CheckpointError(
            "holds no model*.safetensors",
            where=str(folder),
            mend="Give --from a folder that holds memory/ and base/.",
        )
    return tensors


def load_reasoner(net: ReasonerNet, folder: Path) -> None:
    """Give ``net`` the weights of a trained ``base/``."""
    tensors = {name: value.float() for name, value in folder_tensors(folder).items()}
    own = net.state_dict()
    net.load_state_dict(
        {name: tensors.get(name, value) for name, value in own.items() if "_proj." not in name},
        strict=False,
    )
    net.vision_proj.take(tensors, "vision_proj")
    net.video_mem_proj.take(tensors, "video_mem_proj")
