"""Compares the engines of a pack with their source; never writes to the pack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from omnilive.engine.pack import open_parts
from omnilive_export.reading.checkpoint import find_folders
from omnilive_export.verify import compare
from omnilive_export.verify.measure import Comparison, accuracy_record
from omnilive_export.verify.reference import load_references

# Engine → its comparison and what it is compared with.
JUDGES: dict[str, tuple[Callable[[compare.Bench], Iterator[Comparison]], str]] = {
    "mem_vit": (compare.mem_vit, "transformers CLIPVisionModel, 2x2 mix (float32)"),
    "mem_proj": (compare.mem_proj, "pool projector in torch (float32)"),
    "mem_lm": (compare.mem_lm, "transformers Qwen2Model (float32)"),
    "aud_enc": (compare.aud_enc, "transformers Qwen2AudioEncoder padded to the window (float32)"),
    "aud_lm": (compare.aud_lm, "transformers Qwen2ForCausalLM (float32)"),
    "vlm_vit": (compare.vlm_vit, "transformers CLIPVisionModel, vision_proj (float32)"),
    "vlm_lm": (compare.vlm_lm, "InternLM2 with Partial-LoRA in torch (float32)"),
    "mem_to_vlm": (compare.mem_to_vlm, "video_mem_proj in torch (float32)"),
}


def run(
    pack_dir: Path,
    checkpoint_dir: Path,
    progress: Callable[[str], None],
    engines: Iterable[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Accuracy record of each of ``engines``, keyed by engine.

    Args:
        pack_dir: a pack folder, whole or partial, manifest included; its hashes and records are
            not read.
        checkpoint_dir: the checkpoint it was built from.
        progress: told the name of each engine before it is judged.
        engines: which engines to judge; all of the pack by default.

    Raises:
        SetupError: no checkout, or torch or transformers missing.
        CheckpointError: a folder of the checkpoint is missing.
        PackError, EngineError: the pack cannot be opened or run.
        BuildError: an engine gives another shape than its source.
    """
    references = load_references()
    pack = open_parts(pack_dir)
    try:
        bench = compare.Bench(
            pack=pack,
            references=references,
            folders=find_folders(checkpoint_dir),
        )
        records = {}
        for name in pack.manifest.engines if engines is None else engines:
            progress(name)
            judge, reference = JUDGES[name]
            precision = pack.manifest.engines[name].precision
            records[name] = accuracy_record(reference, precision, judge(bench), where=name)
        return records
    finally:
        pack.close()
