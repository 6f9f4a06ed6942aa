"""Parts of the micro checkpoint as the plain Hugging Face folders that they are in other models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from omnilive_export.models.memory import TOWER_PREFIX as MEMORY_PREFIX
from omnilive_export.models.reasoner import TOWER_FOLDER
from omnilive_export.models.reasoner import TOWER_PREFIX as REASONER_PREFIX
from omnilive_export.reading.row_source import F32
from omnilive_export.reading.safetensors_file import SafetensorsFile

Bend = Callable[[dict[str, Any], dict[str, F32]], None]
"""Changes a configuration and the tensors by name before they are written."""

PREPROCESSOR = "preprocessor_config.json"


def memory_tower(checkpoint: Path, folder: Path, bend: Bend | None = None) -> Path:
    """The compressor's tower as a ``CLIPVisionModel`` in ``folder``."""
    config = _json(checkpoint / "memory" / "config.json")["vision_config"]
    tensors = _tensors(checkpoint / "memory", MEMORY_PREFIX, "vision_model.")
    processor = checkpoint / "memory" / PREPROCESSOR
    return _written(folder, "CLIPVisionModel", config, tensors, processor, bend)


def reasoner_tower(checkpoint: Path, folder: Path, bend: Bend | None = None) -> Path:
    """The reasoner's tower as a ``CLIPVisionModelWithProjection`` in ``folder``."""
    own = checkpoint / "base" / TOWER_FOLDER
    config = _json(own / "config.json")
    tensors = _tensors(checkpoint / "base", REASONER_PREFIX, "vision_model.")
    return _written(
        folder,
        "CLIPVisionModelWithProjection",
        config.get("vision_config", config),
        tensors,
        own / PREPROCESSOR,
        bend,
    )


def audio_encoder(checkpoint: Path, folder: Path, bend: Bend | None = None) -> Path:
    """The audio model's encoder in a ``WhisperForConditionalGeneration`` in ``folder``."""
    config = _json(checkpoint / "audio" / "config.json")["audio_config"]
    tensors = _tensors(checkpoint / "audio", "audio_tower.", "model.encoder.")
    processor = checkpoint / "audio" / PREPROCESSOR
    name = "WhisperForConditionalGeneration"
    return _written(folder, name, config, tensors, processor, bend)


def other_weights(_: dict[str, Any], tensors: dict[str, F32]) -> None:
    """Turn the sign of one matrix."""
    name = next(n for n in sorted(tensors) if ".layers.0." in n and n.endswith("fc1.weight"))
    tensors[name] = -tensors[name]


def _tensors(folder: Path, prefix: str, renamed: str) -> dict[str, F32]:
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        file = SafetensorsFile(path)
        for name, entry in file.entries.items():
            if name.startswith(prefix):
                found[renamed + name.removeprefix(prefix)] = file.rows(name, 0, entry.shape[0])
        file.close()
    return found


def _written(
    folder: Path,
    architecture: str,
    config: Mapping[str, Any],
    tensors: dict[str, F32],
    processor: Path,
    bend: Bend | None,
) -> Path:
    values = {**config, "architectures": [architecture]}
    if bend is not None:
        bend(values, tensors)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(values))
    (folder / PREPROCESSOR).write_bytes(processor.read_bytes())
    save_file(tensors, folder / "model.safetensors")
    return folder


def _json(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text())
    return values
