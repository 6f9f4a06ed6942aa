"""The command that writes a checkpoint in the layout of internlm-xcomposer2d5-ol-7b.

``python -m omnilive_micropack.checkpoint --out DIR [--seed 0]``. Same file names, tensor names and
fused layouts as the real family (spec §1), miniature sizes, seeded random weights. It never
trains and never imports torch.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omnilive.errors import OmniLiveError, OutputError
from omnilive_micropack import configs, layout, text_tokenizers, weights
from omnilive_micropack.corpus import corpus
from omnilive_micropack.dimensions import PRESETS, FamilyDims

FOLDERS = ("base", "memory", "audio")
REASONER_TOWER_FOLDER = "IXC2d5_clip_l_560"
"""Folder of the reasoner's vision tower; the reference's code names it (spec §1.3)."""


def write_checkpoint(out: Path, dims: FamilyDims, seed: int) -> None:
    """Write ``base/``, ``memory/`` and ``audio/`` under ``out``; equal arguments, equal bytes.

    They are made beside ``out`` and moved there when all three are whole, in place of older ones.

    Raises:
        OutputError: a file cannot be written.
        BuildError: a tokenizer cannot be trained to the sizes asked for.
    """
    lines = corpus()
    part = out.with_name(out.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        for name in FOLDERS:
            (part / name).mkdir(parents=True)
        ids = _write_tokenizers(part, dims, lines)
        _write_memory(part / "memory", dims, ids, seed)
        _write_audio(part / "audio", dims, ids, seed)
        _write_reasoner(part / "base", dims, seed)
        out.mkdir(parents=True, exist_ok=True)
        for name in FOLDERS:
            if (out / name).exists():
                shutil.rmtree(out / name)
            (part / name).rename(out / name)
    except OSError as e:
        raise OutputError(
            f"cannot be written ({e.strerror or e})",
            where=str(e.filename or out),
            mend="Free space there or choose another folder with --out.",
        ) from e
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_tokenizers(out: Path, dims: FamilyDims, lines: Sequence[str]) -> configs.SpecialIds:
    bpe = text_tokenizers.train_qwen_bpe(lines, dims.bpe_entries)
    memory = text_tokenizers.write_qwen_bpe(
        out / "memory", bpe, text_tokenizers.MEMORY_SPECIALS, dims.memory_lm.positions
    )
    audio = text_tokenizers.write_qwen_bpe(
        out / "audio", bpe, text_tokenizers.AUDIO_SPECIALS, dims.audio_lm.positions
    )
    model = text_tokenizers.train_sentencepiece(lines, dims.reasoner_lm.vocab, dims.reserved_pieces)
    (out / "base" / "tokenizer.model").write_bytes(model)
    return configs.SpecialIds(
        memory_end_of_text=memory[text_tokenizers.END_OF_TEXT],
        audio_end_of_text=audio[text_tokenizers.END_OF_TEXT],
        audio_turn_end=audio[text_tokenizers.IM_END],
        audio_placeholder=audio[text_tokenizers.AUDIO_PLACEHOLDER],
    )


def _write_memory(folder: Path, dims: FamilyDims, ids: configs.SpecialIds, seed: int) -> None:
    _dump(folder / "config.json", configs.memory_config(dims, ids, trained=False))
    _dump(folder / "preprocessor_config.json", configs.image_processor(dims.memory_tower))
    weights.write_weights(folder, list(layout.memory_tensors(dims)), seed, shards=1)


def _write_audio(folder: Path, dims: FamilyDims, ids: configs.SpecialIds, seed: int) -> None:
    _dump(folder / "config.json", configs.audio_config(dims, ids, trained=False))
    _dump(folder / "generation_config.json", configs.audio_generation_config(ids))
    _dump(folder / "preprocessor_config.json", configs.audio_preprocessor(dims))
    weights.write_weights(folder, list(layout.audio_tensors(dims)), seed, shards=1)


def _write_reasoner(folder: Path, dims: FamilyDims, seed: int) -> None:
    tower = folder / REASONER_TOWER_FOLDER
    tower.mkdir(exist_ok=True)
    _dump(tower / "config.json", configs.clip_vision(dims.reasoner_tower))
    _dump(tower / "preprocessor_config.json", configs.image_processor(dims.reasoner_tower))
    _dump(folder / "config.json", configs.reasoner_config(dims, trained=False))
    _dump(folder / "generation_config.json", configs.reasoner_generation_config(dims))
    _dump(
        folder / "tokenizer_config.json",
        text_tokenizers.reasoner_tokenizer_config(dims.reasoner_lm.positions),
    )
    tensors = list(layout.reasoner_tensors(dims))
    weights.write_weights(folder, tensors, seed, shards=dims.reasoner_shards)


def _dump(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and write; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="omnilive_micropack.checkpoint", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default 0)")
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default="micro", help="sizes (default micro)"
    )
    args = parser.parse_args(argv)
    try:
        write_checkpoint(args.out, PRESETS[args.preset], args.seed)
    except OmniLiveError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    size = sum(f.stat().st_size for f in args.out.rglob("*") if f.is_file())
    print(f"{args.out}: {args.preset} checkpoint, seed {args.seed}, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
