"""The sizes of every network of the family in one place, one preset per size.

Data only. Everything downstream reads sizes from the checkpoint's ``config.json``, never from here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class VisionDims:
    """A CLIP vision tower: sides in pixels, widths in channels."""

    pixels: int
    patch: int
    width: int
    layers: int
    heads: int
    mlp: int

    @property
    def patches(self) -> int:
        """Patches per picture, class token left out."""
        return (self.pixels // self.patch) ** 2

    @property
    def mixed_tokens(self) -> int:
        """Tokens per picture after 2×2 mixing (spec §1.4, §2.1)."""
        return (self.pixels // self.patch // 2) ** 2

    @property
    def mixed_width(self) -> int:
        """Width of a 2×2-mixed token."""
        return 4 * self.width


@dataclass(frozen=True)
class LmDims:
    """A decoder. ``rope_theta`` None means the key is absent from config.json (spec §1.2)."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    vocab: int
    positions: int
    eps: float
    rope_theta: float | None

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


@dataclass(frozen=True)
class AudioEncoderDims:
    """A Whisper-type encoder; ``source_positions`` are frames after the strided convolution."""

    width: int
    layers: int
    heads: int
    mlp: int
    mel_bins: int
    source_positions: int


@dataclass(frozen=True)
class FamilyDims:
    """All three models of a checkpoint (spec §1).

    Attributes:
        select_layer: hidden state of the memory tower that is used (spec §1.7).
        slots: pooled tokens per frame (spec §1.7 ``pool_num``).
        plora_rank: rank of the reasoner's Partial-LoRA; its alpha equals it (spec §1.3).
        rope_factor: factor of the reasoner's dynamic rope scaling (spec §1.3).
        reasoner_shards: safetensors files the reasoner is split over.
        bpe_entries: byte-level entries of the memory and audio tokenizers, special tokens left
            out; both vocabularies are padded beyond them, as the real ones are (spec §1.7).
        reserved_pieces: trailing ``[UNUSED_TOKEN_n]`` pieces of the reasoner's tokenizer, the
            last two of which frame a turn (spec §1.5).
        max_new_tokens: length limit of an answer, for ``generation_config.json``.
        trained_pieces: pieces the reasoner's tokenizer is trained to, the reserved ones included;
            the rest of its vocabulary is filled with pieces no text gives. None trains them all.
        adapter_rank: rank of the LoRA in ``adapter/``; its alpha equals it (spec §1.3).
    """

    memory_tower: VisionDims
    memory_lm: LmDims
    audio_encoder: AudioEncoderDims
    audio_lm: LmDims
    reasoner_tower: VisionDims
    reasoner_lm: LmDims
    select_layer: int
    slots: int
    plora_rank: int
    rope_factor: float
    reasoner_shards: int
    bpe_entries: int
    reserved_pieces: int
    max_new_tokens: int
    trained_pieces: int | None = None
    adapter_rank: int = 16


MICRO = FamilyDims(
    memory_tower=VisionDims(pixels=112, patch=14, width=128, layers=4, heads=4, mlp=512),
    memory_lm=LmDims(256, 3, 4, 2, 512, vocab=1024, positions=8192, eps=1e-6, rope_theta=1e6),
    audio_encoder=AudioEncoderDims(192, 4, 4, 768, mel_bins=80, source_positions=1500),
    audio_lm=LmDims(192, 3, 4, 2, 512, vocab=1040, positions=2048, eps=1e-5, rope_theta=None),
    reasoner_tower=VisionDims(pixels=168, patch=14, width=128, layers=4, heads=4, mlp=512),
    reasoner_lm=LmDims(256, 4, 4, 2, 512, vocab=1024, positions=8192, eps=1e-5, rope_theta=1e6),
    select_layer=-2,
    slots=4,
    plora_rank=32,
    rope_factor=2.0,
    reasoner_shards=2,
    bpe_entries=1008,
    reserved_pieces=8,
    max_new_tokens=32,
)
"""Every width is a multiple of 64, every head at least 32 wide, every patch grid even, so that
int4 blocks and fused attention apply as they do at full size. The short answers are because the
seeded weights have nothing to say."""

_CLIP_LARGE_336 = VisionDims(pixels=336, patch=14, width=1024, layers=24, heads=16, mlp=4096)

FULL = FamilyDims(
    memory_tower=_CLIP_LARGE_336,
    memory_lm=LmDims(
        1536, 28, 12, 2, 8960, vocab=151936, positions=32768, eps=1e-6, rope_theta=1e6
    ),
    audio_encoder=AudioEncoderDims(1280, 32, 20, 5120, mel_bins=128, source_positions=1500),
    audio_lm=LmDims(1536, 28, 12, 2, 8960, vocab=156032, positions=8192, eps=1e-5, rope_theta=None),
    reasoner_tower=dataclasses.replace(_CLIP_LARGE_336, pixels=560),
    reasoner_lm=LmDims(
        4096, 32, 32, 8, 14336, vocab=92544, positions=24576, eps=1e-5, rope_theta=1e6
    ),
    select_layer=-2,
    slots=4,
    plora_rank=256,
    rope_factor=2.0,
    reasoner_shards=4,
    bpe_entries=1008,
    reserved_pieces=8,
    max_new_tokens=512,
    trained_pieces=1024,
    adapter_rank=128,
)
"""The real internlm-xcomposer2d5-ol-7b (spec §1), 26 GB in bfloat16. Its tokenizers are as small
as the miniature's, under embedding tables of the real size: they can't be had without its data."""
