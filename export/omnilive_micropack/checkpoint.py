"""The command that writes a checkpoint in the layout of internlm-xcomposer2d5-ol-7b.

``python -m omnilive_micropack.checkpoint --out DIR [--seed 0] [--full-size] [--only MODEL]``. Same
file names, tensor names and fused layouts as the real family (spec §1), seeded random weights, in
miniature or in the real sizes. It never trains and never imports torch.

In the real sizes the values are cut from one seeded pool (``weights.pooled``): a normal value of
its own for each of 13 billion is minutes of arithmetic, the pool is next to none.
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
from omnilive_micropack.dimensions import FULL, MICRO, FamilyDims
from omnilive_micropack.filler_pieces import with_filler

FOLDERS = ("base", "memory", "audio")
ADAPTER = "adapter"
REASONER_TOWER_FOLDER = "IXC2d5_clip_l_560"
"""Folder of the reasoner's vision tower; the reference's code names it (spec §1.3)."""

_MEND = "Free space there or choose another folder with --out."


def write_checkpoint(
    out: Path,
    dims: FamilyDims,
    seed: int,
    *,
    folders: Sequence[str] = FOLDERS,
    draw: weights.Draw = weights.drawn,
) -> None:
    """Write ``base/``, ``memory/`` and ``audio/`` under ``out``; equal arguments, equal bytes.

    They are made beside ``out`` and moved there when all are whole, in place of older ones.

    Args:
        out: the checkpoint's folder.
        dims: sizes of everything.
        seed: of the weights.
        folders: which to write, of FOLDERS and ADAPTER; others in ``out`` stay as they are.
        draw: where the values come from.

    Raises:
        OutputError: the disk has too little room, or a file cannot be written.
        BuildError: a tokenizer cannot be trained to the sizes asked for.
    """
    part = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _check_space(out.parent, sum(_bytes_of(name, dims) for name in folders))
        shutil.rmtree(part, ignore_errors=True)
        for name in FOLDERS:
            (part / name).mkdir(parents=True)
        ids = _write_tokenizers(part, dims, corpus())
        if "memory" in folders:
            _write_memory(part / "memory", dims, ids, seed, draw)
        if "audio" in folders:
            _write_audio(part / "audio", dims, ids, seed, draw)
        if "base" in folders:
            _write_reasoner(part / "base", dims, seed, draw)
        if ADAPTER in folders:
            _write_adapter(part / ADAPTER, dims, seed, draw)
        out.mkdir(parents=True, exist_ok=True)
        for name in folders:
            if (out / name).exists():
                shutil.rmtree(out / name)
            (part / name).rename(out / name)
    except OSError as e:
        raise OutputError(
            f"cannot be written ({e.strerror or e})", where=str(e.filename or out), mend=_MEND
        ) from e
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _bytes_of(folder: str, dims: FamilyDims) -> int:
    """Size of a folder's weights."""
    tensors = {
        "memory": layout.memory_tensors,
        "audio": layout.audio_tensors,
        "base": layout.reasoner_tensors,
        ADAPTER: layout.adapter_tensors,
    }[folder](dims)
    return weights.BF16_BYTES * sum(spec.elements for spec in tensors)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB are needed",
            where=str(folder),
            mend=_MEND,
        )


def _write_tokenizers(out: Path, dims: FamilyDims, lines: Sequence[str]) -> configs.SpecialIds:
    bpe = text_tokenizers.train_qwen_bpe(lines, dims.bpe_entries)
    memory = text_tokenizers.write_qwen_bpe(
        out / "memory", bpe, text_tokenizers.MEMORY_SPECIALS, dims.memory_lm.positions
    )
    audio = text_tokenizers.write_qwen_bpe(
        out / "audio", bpe, text_tokenizers.AUDIO_SPECIALS, dims.audio_lm.positions
    )
    vocab = dims.reasoner_lm.vocab
    trained = text_tokenizers.train_sentencepiece(
        lines, dims.trained_pieces or vocab, dims.reserved_pieces
    )
    model = with_filler(trained, vocab, dims.reserved_pieces)
    (out / "base" / "tokenizer.model").write_bytes(model)
    return configs.SpecialIds(
        memory_end_of_text=memory[text_tokenizers.END_OF_TEXT],
        audio_end_of_text=audio[text_tokenizers.END_OF_TEXT],
        audio_turn_end=audio[text_tokenizers.IM_END],
        audio_placeholder=audio[text_tokenizers.AUDIO_PLACEHOLDER],
    )


def _write_memory(
    folder: Path, dims: FamilyDims, ids: configs.SpecialIds, seed: int, draw: weights.Draw
) -> None:
    _dump(folder / "config.json", configs.memory_config(dims, ids, trained=False))
    _dump(folder / "preprocessor_config.json", configs.image_processor(dims.memory_tower))
    weights.write_weights(folder, list(layout.memory_tensors(dims)), seed, 1, draw)


def _write_audio(
    folder: Path, dims: FamilyDims, ids: configs.SpecialIds, seed: int, draw: weights.Draw
) -> None:
    _dump(folder / "config.json", configs.audio_config(dims, ids, trained=False))
    _dump(folder / "generation_config.json", configs.audio_generation_config(ids))
    _dump(folder / "preprocessor_config.json", configs.audio_preprocessor(dims))
    weights.write_weights(folder, list(layout.audio_tensors(dims)), seed, 1, draw)


def _write_reasoner(folder: Path, dims: FamilyDims, seed: int, draw: weights.Draw) -> None:
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
    weights.write_weights(folder, tensors, seed, dims.reasoner_shards, draw)


def _write_adapter(folder: Path, dims: FamilyDims, seed: int, draw: weights.Draw) -> None:
    folder.mkdir()
    _dump(folder / "adapter_config.json", configs.adapter_config(dims))
    tensors = list(layout.adapter_tensors(dims))
    weights.write_safetensors(folder / "adapter_model.safetensors", tensors, seed, draw)


def _dump(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and write; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="omnilive_micropack.checkpoint", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default 0)")
    parser.add_argument(
        "--full-size", action="store_true", help="the real sizes: 26 GB (default: miniature)"
    )
    parser.add_argument(
        "--only", choices=FOLDERS, metavar="MODEL", help=f"write one of {', '.join(FOLDERS)}"
    )
    parser.add_argument(
        "--adapter", action="store_true", help="write adapter/ too: a LoRA not yet merged into base"
    )
    args = parser.parse_args(argv)
    folders = FOLDERS if args.only is None else (args.only,)
    if args.adapter:
        folders = (*folders, ADAPTER)
    dims = FULL if args.full_size else MICRO
    draw = weights.pooled(args.seed) if args.full_size else weights.drawn
    try:
        write_checkpoint(args.out, dims, args.seed, folders=folders, draw=draw)
    except OmniLiveError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    files = [f for name in folders for f in (args.out / name).rglob("*") if f.is_file()]
    size = sum(f.stat().st_size for f in files)
    kind = "full-size" if args.full_size else "micro"
    print(f"{args.out}: {kind} {', '.join(folders)}, seed {args.seed}, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
