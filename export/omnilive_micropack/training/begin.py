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
            mend="Give --from a folder that holds trained memory/ and base/ folders.",
        )
    return tensors


def load_reasoner(net: ReasonerNet, folder: Path) -> None:
    """Give ``net`` the weights of a trained ``base/``.

    Raises:
        CheckpointError: one of them is not there.
    """
    tensors = {name: value.float() for name, value in folder_tensors(folder).items()}
    names = [name for name in net.state_dict() if "_proj." not in name]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise CheckpointError(
            f"lacks {missing[0]}",
            where=str(folder),
            mend="Give --from a folder of this family and size.",
        )
    net.load_state_dict({name: tensors[name] for name in names}, strict=False)
    net.vision_proj.take(tensors, "vision_proj")
    net.video_mem_proj.take(tensors, "video_mem_proj")
