"""Every tensor of a checkpoint by name, shape and kind of initial value (spec §1.2, §1.3, §1.7).

It knows names and shapes only: it draws no number and writes no file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from omnilive_micropack.dimensions import AudioEncoderDims, FamilyDims, LmDims, VisionDims


@dataclass(frozen=True)
class TensorSpec:
    """One tensor: its values are ``mean + std * N(0, 1)``, or the Whisper position table.

    Attributes:
        sinusoid: the values are sines and cosines of the position instead of random.
    """

    name: str
    shape: tuple[int, ...]
    std: float
    mean: float = 0.0
    sinusoid: bool = False

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


NORM_SPREAD = 0.05
"""Spread of norm weights around 1, and of every bias around 0. Not zero, so that a bias left out
or two norms exchanged by a reader of the checkpoint changes its numbers."""

PLORA_GAIN = 0.3
"""Size of the Partial-LoRA branch beside its base layer."""

UNTIED_EMBEDDING_STD = 0.5
"""A token then stays visible beside what the layers add to it. In a tied model it must be small,
or the head answers every token with itself."""

TIED_BRANCH_GAINS = (0.2, 1.0)
"""Gains of attention and feed-forward branches in a tied model, whose embeddings are small: what
was read must neither drown in the average of what came before nor outlast the layers."""

ADAPTER_GAIN = 0.3
"""Size of the LoRA of ``adapter/`` beside the weight it is merged into."""

HEAD_GAIN = 4.0
"""Standard deviation of an untied head's logits: peaked enough for a top-1 to be meant."""


def _weight(name: str, rows: int, columns: int, gain: float = 1.0) -> TensorSpec:
    """A matrix [rows, columns] that keeps the variance of its input times gain²."""
    return TensorSpec(name, (rows, columns), gain / math.sqrt(columns))


def _bias(name: str, rows: int) -> TensorSpec:
    return TensorSpec(name, (rows,), NORM_SPREAD)


def _linear(name: str, rows: int, columns: int, gain: float = 1.0) -> Iterator[TensorSpec]:
    yield _weight(f"{name}.weight", rows, columns, gain)
    yield _bias(f"{name}.bias", rows)


def _layer_norm(name: str, width: int) -> Iterator[TensorSpec]:
    yield TensorSpec(f"{name}.weight", (width,), NORM_SPREAD, mean=1.0)
    yield _bias(f"{name}.bias", width)


def _rms_norm(name: str, width: int) -> TensorSpec:
    return TensorSpec(f"{name}.weight", (width,), NORM_SPREAD, mean=1.0)


def _branch_gain(layers: int) -> float:
    """Gain of a residual branch's last matrix, so that 2·layers branches add up to about 1."""
    return 1.0 / math.sqrt(2 * layers)


def _mlp_projector(prefix: str, width_in: int, width_out: int) -> Iterator[TensorSpec]:
    """Linear, GELU, Linear stored as ``.0`` and ``.2``."""
    yield from _linear(f"{prefix}.0", width_out, width_in)
    yield from _linear(f"{prefix}.2", width_out, width_out)


def clip_vision(prefix: str, dims: VisionDims) -> Iterator[TensorSpec]:
    """A CLIP vision tower; ``pre_layrnorm`` is the reference's own spelling."""
    width = dims.width
    yield TensorSpec(f"{prefix}embeddings.class_embedding", (width,), 1.0)
    yield TensorSpec(
        f"{prefix}embeddings.patch_embedding.weight",
        (width, 3, dims.patch, dims.patch),
        1.0 / math.sqrt(3 * dims.patch * dims.patch),
    )
    yield TensorSpec(
        f"{prefix}embeddings.position_embedding.weight", (dims.patches + 1, width), 0.1
    )
    yield from _layer_norm(f"{prefix}pre_layrnorm", width)
    for i in range(dims.layers):
        layer = f"{prefix}encoder.layers.{i}"
        for name in ("k_proj", "v_proj", "q_proj"):
            yield from _linear(f"{layer}.self_attn.{name}", width, width)
        yield from _linear(f"{layer}.self_attn.out_proj", width, width)
        yield from _layer_norm(f"{layer}.layer_norm1", width)
        yield from _linear(f"{layer}.mlp.fc1", dims.mlp, width)
        yield from _linear(f"{layer}.mlp.fc2", width, dims.mlp, _branch_gain(dims.layers))
        yield from _layer_norm(f"{layer}.layer_norm2", width)
    yield from _layer_norm(f"{prefix}post_layernorm", width)


def qwen2(prefix: str, dims: LmDims, *, tied: bool) -> Iterator[TensorSpec]:
    """A Qwen2 decoder without its head; ``tied`` if its embedding serves as one."""
    width, kv_width = dims.width, dims.kv_heads * dims.head_dim
    branch = _branch_gain(dims.layers)
    attention, mlp = TIED_BRANCH_GAINS if tied else (branch, branch)
    std = 1.0 / math.sqrt(width) if tied else UNTIED_EMBEDDING_STD
    yield TensorSpec(f"{prefix}embed_tokens.weight", (dims.vocab, width), std)
    for i in range(dims.layers):
        layer = f"{prefix}layers.{i}"
        yield from _linear(f"{layer}.self_attn.q_proj", width, width)
        yield from _linear(f"{layer}.self_attn.k_proj", kv_width, width)
        yield from _linear(f"{layer}.self_attn.v_proj", kv_width, width)
        yield _weight(f"{layer}.self_attn.o_proj.weight", width, width, attention)
        yield _weight(f"{layer}.mlp.gate_proj.weight", dims.mlp, width)
        yield _weight(f"{layer}.mlp.up_proj.weight", dims.mlp, width)
        yield _weight(f"{layer}.mlp.down_proj.weight", width, dims.mlp, mlp)
        yield _rms_norm(f"{layer}.input_layernorm", width)
        yield _rms_norm(f"{layer}.post_attention_layernorm", width)
    yield _rms_norm(f"{prefix}norm", width)


def audio_encoder(prefix: str, dims: AudioEncoderDims) -> Iterator[TensorSpec]:
    """A Whisper encoder; its key projection has no bias and its positions are sinusoids."""
    width = dims.width
    branch = _branch_gain(dims.layers)
    for name, channels in (("conv1", dims.mel_bins), ("conv2", width)):
        std = 1.0 / math.sqrt(3 * channels)
        yield TensorSpec(f"{prefix}{name}.weight", (width, channels, 3), std)
        yield _bias(f"{prefix}{name}.bias", width)
    yield TensorSpec(
        f"{prefix}embed_positions.weight", (dims.source_positions, width), 0.0, sinusoid=True
    )
    for i in range(dims.layers):
        layer = f"{prefix}layers.{i}"
        yield _weight(f"{layer}.self_attn.k_proj.weight", width, width)
        for name in ("v_proj", "q_proj"):
            yield from _linear(f"{layer}.self_attn.{name}", width, width)
        yield from _linear(f"{layer}.self_attn.out_proj", width, width, branch)
        yield from _layer_norm(f"{layer}.self_attn_layer_norm", width)
        yield from _linear(f"{layer}.fc1", dims.mlp, width)
        yield from _linear(f"{layer}.fc2", width, dims.mlp, branch)
        yield from _layer_norm(f"{layer}.final_layer_norm", width)
    yield from _layer_norm(f"{prefix}layer_norm", width)


def memory_tensors(dims: FamilyDims) -> Iterator[TensorSpec]:
    """``memory/``: Qwen2, CLIP tower, pool projector, untied head (spec §1.7)."""
    lm, tower = dims.memory_lm, dims.memory_tower
    yield from qwen2("model.", lm, tied=False)
    yield from clip_vision("model.vision_tower.vision_tower.vision_model.", tower)
    yield from _mlp_projector("model.mm_projector.mlp", tower.mixed_width, lm.width)
    yield _weight("lm_head.weight", lm.vocab, lm.width, HEAD_GAIN)


def audio_tensors(dims: FamilyDims) -> Iterator[TensorSpec]:
    """``audio/``: encoder, projector, Qwen2 whose head is its embedding (spec §1.2)."""
    lm, encoder = dims.audio_lm, dims.audio_encoder
    yield from audio_encoder("audio_tower.", encoder)
    yield from _linear("multi_modal_projector.linear", lm.width, encoder.width)
    yield from qwen2("language_model.model.", lm, tied=True)


def reasoner_linears(layer: str, dims: FamilyDims) -> Iterator[tuple[str, int, int, float]]:
    """Linears of one of the reasoner's layers: name, rows, columns and gain."""
    lm = dims.reasoner_lm
    qkv = (lm.heads + 2 * lm.kv_heads) * lm.head_dim
    branch = _branch_gain(lm.layers)
    yield f"{layer}.attention.wqkv", qkv, lm.width, 1.0
    yield f"{layer}.attention.wo", lm.width, lm.width, branch
    yield f"{layer}.feed_forward.w1", lm.mlp, lm.width, 1.0
    yield f"{layer}.feed_forward.w3", lm.mlp, lm.width, 1.0
    yield f"{layer}.feed_forward.w2", lm.width, lm.mlp, branch


def adapter_tensors(dims: FamilyDims) -> Iterator[TensorSpec]:
    """``adapter/``: LoRA of the reasoner's linears and a whole ``video_mem_proj`` (spec §1.3)."""
    lm, prefix, rank = dims.reasoner_lm, "base_model.model.", dims.adapter_rank
    for i in range(lm.layers):
        for name, rows, columns, gain in reasoner_linears(f"model.layers.{i}", dims):
            yield _weight(f"{prefix}{name}.lora_A.weight", rank, columns)
            yield _weight(f"{prefix}{name}.lora_B.weight", rows, rank, ADAPTER_GAIN * gain)
    yield from _mlp_projector(f"{prefix}video_mem_proj", dims.memory_lm.width, lm.width)


def reasoner_tensors(dims: FamilyDims) -> Iterator[TensorSpec]:
    """``base/``: InternLM2 with Partial-LoRA, CLIP tower, both projectors (spec §1.3)."""
    lm, tower = dims.reasoner_lm, dims.reasoner_tower
    width = lm.width
    # Separators stand among the mixed patch tokens and pass through vision_proj with them.
    yield TensorSpec("plora_glb_GN", (1, 1, tower.mixed_width), 1.0)
    yield TensorSpec("plora_sub_GN", (1, 1, 1, tower.mixed_width), 1.0)
    yield TensorSpec("model.tok_embeddings.weight", (lm.vocab, width), UNTIED_EMBEDDING_STD)
    for i in range(lm.layers):
        layer = f"model.layers.{i}"
        for name, rows, columns, gain in reasoner_linears(layer, dims):
            rank = dims.plora_rank
            yield _weight(f"{name}.weight", rows, columns, gain)
            yield _weight(f"{name}.Plora_A.weight", rank, columns)
            yield _weight(f"{name}.Plora_B.weight", rows, rank, PLORA_GAIN * gain)
        yield _rms_norm(f"{layer}.attention_norm", width)
        yield _rms_norm(f"{layer}.ffn_norm", width)
    yield _rms_norm("model.norm", width)
    yield _weight("output.weight", lm.vocab, width, HEAD_GAIN)
    yield from clip_vision("vit.vision_tower.vision_model.", tower)
    yield from _mlp_projector("vision_proj", tower.mixed_width, width)
    yield from _mlp_projector("video_mem_proj", dims.memory_lm.width, width)
