"""Uses the engines of one model as a session does, on seeded inputs, and prints what it took.

``python benchmarks/sizing/use.py --pack DIR --model base``: one JSON object on standard output.
A process of its own, so that its peak memory is that of the model and the runtime alone. The
weights may be noise: times and memory do not depend on them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from omnilive.engine.config import EngineConfig
from omnilive.engine.interface import F32, I64, Decoder, KvArena
from omnilive.engine.pack import EnginePack, open_parts
from omnilive.errors import EngineError, OmniLiveError
from omnilive.memory.compressor import Compressor
from omnilive.memory.config import CompressionConfig
from omnilive.perception.frame_encoder import FrameEncoder
from omnilive.reasoning.config import ReasoningConfig
from omnilive.sources.types import SAMPLE_RATE_HZ, US_PER_SECOND

FRAMES = 16
"""Frames of the clip that is compressed: the longest that the presets make."""

FRAME_SHAPE = (720, 1280, 3)

PROMPT_TOKENS, NEW_TOKENS = 512, 32
"""Tokens of the reasoner's prompt, one tile's picture among them, and decoded after it."""

SPEECH_S = 10
"""Seconds of sound that the audio model hears."""

Figures = dict[str, float]
T = TypeVar("T")


def use_memory(pack: EnginePack) -> Figures:
    """Encode and compress one clip."""
    rng = np.random.default_rng(0)
    load_s = _load(pack, ("mem_vit", "mem_proj"), "mem_lm")
    frames = [rng.integers(0, 256, FRAME_SHAPE, np.uint8) for _ in range(FRAMES)]
    encoder = FrameEncoder(pack)
    encode_s, features = _timed(lambda: [encoder.encode(frame).features for frame in frames])
    clip = Compressor(pack, CompressionConfig()).begin(features, 0, FRAMES * US_PER_SECOND)

    def compress() -> None:
        while not clip.step():
            pass

    compress_s, _ = _timed(compress)
    _check_finite(clip.result.short_term, "mem_lm")
    return {
        "load_s": load_s,
        "frames": FRAMES,
        "encode_frame_s": encode_s / FRAMES,
        "clip_tokens": clip.result.tokens,
        "memory_rows": len(clip.result.short_term),
        "compress_s": compress_s,
    }


def use_audio(pack: EnginePack) -> Figures:
    """Encode some seconds of sound and decode after it."""
    samples = SPEECH_S * SAMPLE_RATE_HZ
    pcm = np.random.default_rng(0).normal(0, 0.05, (1, samples)).astype(np.float32)
    load_s = _load(pack, ("aud_enc",), "aud_lm")
    encode_s, out = _timed(lambda: pack.engine("aud_enc").run({"pcm": pcm}))
    heard: F32 = out["embeds"][0]
    _check_finite(heard, "aud_enc")
    figures = _decode(pack, "aud_lm", "aud_embed", heard, plora_rows=None)
    return {"load_s": load_s, "sound_s": SPEECH_S, "encode_s": encode_s, **figures}


def use_base(pack: EnginePack) -> Figures:
    """Encode one tile, prefill a prompt around it, and decode after it."""
    rng = np.random.default_rng(0)
    spec = pack.manifest.reasoner
    tile = rng.integers(0, 256, (1, spec.pixels, spec.pixels, 3), np.uint8)
    load_s = _load(pack, ("vlm_vit",), "vlm_lm")
    encode_s, out = _timed(lambda: pack.engine("vlm_vit").run({"tiles": tile}))
    picture: F32 = out["embeds"][0]
    _check_finite(picture, "vlm_vit")
    words = rng.integers(0, spec.vocab, PROMPT_TOKENS - len(picture))
    prompt = np.concatenate([picture, pack.table("vlm_embed").rows(words)])
    plora_rows = np.arange(len(picture), dtype=np.int64)
    figures = _decode(pack, "vlm_lm", "vlm_embed", prompt, plora_rows=plora_rows)
    return {"load_s": load_s, "tile_s": encode_s, "tile_tokens": len(picture), **figures}


USES: dict[str, Callable[[EnginePack], Figures]] = {
    "memory": use_memory,
    "audio": use_audio,
    "base": use_base,
}


def _load(pack: EnginePack, engines: Sequence[str], decoder: str) -> float:
    """Seconds to load these."""
    began = time.monotonic()
    for name in engines:
        pack.engine(name)
    pack.decoder(decoder)
    return time.monotonic() - began


def _decode(
    pack: EnginePack, lm: str, table: str, prompt: F32, *, plora_rows: I64 | None
) -> Figures:
    """Prefill ``prompt`` in the chunks of a session and decode NEW_TOKENS greedily."""
    decoder, embeddings = pack.decoder(lm), pack.table(table)
    arena = decoder.new_arena(len(prompt) + NEW_TOKENS)
    prefill_s, logits = _timed(lambda: _prefill(decoder, arena, prompt, plora_rows))

    def decode(logits: F32) -> F32:
        for _ in range(NEW_TOKENS):
            _check_finite(logits, lm)
            logits = decoder.logits(arena, embeddings.rows([int(np.argmax(logits[-1]))]))
        return logits

    decode_s, logits = _timed(lambda: decode(logits))
    _check_finite(logits, lm)
    return {
        "prompt_tokens": len(prompt),
        "prefill_s": prefill_s,
        "new_tokens": NEW_TOKENS,
        "decode_s": decode_s,
        "tokens_per_s": NEW_TOKENS / decode_s,
    }


def _prefill(decoder: Decoder, arena: KvArena, prompt: F32, plora_rows: I64 | None) -> F32:
    """Logits [1, V] of the prompt's last position."""
    chunk = ReasoningConfig().prefill_chunk
    plora = np.zeros(0, np.int64) if plora_rows is None else plora_rows
    logits: F32 = np.empty((0, 0), np.float32)
    for start in range(0, len(prompt), chunk):
        block = prompt[start : start + chunk]
        stop = start + len(block)
        logits = decoder.logits(
            arena,
            block,
            rows=np.array([len(block) - 1] if stop == len(prompt) else [], np.int64),
            plora_rows=plora[(plora >= start) & (plora < stop)] - start,
        )
    return logits


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.monotonic()
    result = work()
    return time.monotonic() - began, result


def _check_finite(values: F32, engine: str) -> None:
    if not np.isfinite(values).all():
        raise EngineError(
            "gave values that are not finite",
            where=f"engine {engine}",
            mend="Build the pack at a higher precision and use it again.",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Use one model and print the figures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="use.py", description=__doc__)
    parser.add_argument("--pack", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", choices=tuple(USES), required=True)
    parser.add_argument("--threads", type=int, default=0, help="per engine; 0 for all cores")
    args = parser.parse_args(argv)
    try:
        with contextlib.closing(open_parts(args.pack, EngineConfig(threads=args.threads))) as pack:
            print(json.dumps(USES[args.model](pack)))
    except OmniLiveError as e:
        print(f"use.py: {e}", file=sys.stderr)
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
