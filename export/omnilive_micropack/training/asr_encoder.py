"""The audio model's listening half as it is trained: log-mel features and Whisper's encoder.

Same arithmetic and tensor names as the checkpoint's (spec §1.2). It knows no words.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnilive_export.graphs.log_mel import DYNAMIC_RANGE, MEL_FLOOR, mel_filters
from omnilive_export.specs import LogMelSpec
from omnilive_micropack.configs import SAMPLE_RATE_HZ, WHISPER_HOP, WHISPER_N_FFT
from omnilive_micropack.dimensions import AudioEncoderDims
from omnilive_micropack.training.asr_decoder import MASKED, attend
from omnilive_micropack.weights import sinusoids

LAYER_NORM_EPS = 1e-5


class LogMel(nn.Module):
    """Whisper's features of a padded batch; equal to the extractor's for each item."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        spec = LogMelSpec(SAMPLE_RATE_HZ, WHISPER_N_FFT, WHISPER_HOP, bins, 0)
        self.register_buffer("filters", torch.from_numpy(mel_filters(spec)), persistent=False)
        self.register_buffer("window", torch.hann_window(WHISPER_N_FFT), persistent=False)

    def forward(self, pcm: Tensor, frames: int) -> Tensor:
        """``pcm`` [B, N] padded with zeros → [B, bins, frames]."""
        half = WHISPER_N_FFT // 2
        missing = max(0, frames * WHISPER_HOP + half - pcm.shape[1])
        padded = F.pad(F.pad(pcm[:, None], (half, 0), mode="reflect")[:, 0], (0, missing))
        spectrum = torch.stft(
            padded,
            WHISPER_N_FFT,
            WHISPER_HOP,
            window=self.window,
            center=False,
            return_complex=True,
        )[..., :frames]
        power = spectrum.real.square() + spectrum.imag.square()
        log = torch.log10((power.transpose(1, 2) @ self.filters).clamp(min=MEL_FLOOR))
        top = log.amax(dim=(1, 2), keepdim=True)
        return ((torch.maximum(log, top - DYNAMIC_RANGE) + 4.0) / 4.0).transpose(1, 2)


class EncoderAttention(nn.Module):
    """Whisper's self-attention; the key projection has no bias."""

    def __init__(self, dims: AudioEncoderDims) -> None:
        super().__init__()
        self.heads = dims.heads
        self.k_proj = nn.Linear(dims.width, dims.width, bias=False)
        self.v_proj = nn.Linear(dims.width, dims.width)
        self.q_proj = nn.Linear(dims.width, dims.width)
        self.out_proj = nn.Linear(dims.width, dims.width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """[B, T, C] → [B, T, C]; ``bias`` [B, 1, 1, T] hides padding."""
        heads = (self.heads, -1)
        q, k, v = (
            m(x).unflatten(2, heads).transpose(1, 2)
            for m in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(attend(q, k, v, bias)[0])


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer with GELU."""

    def __init__(self, dims: AudioEncoderDims) -> None:
        super().__init__()
        self.self_attn = EncoderAttention(dims)
        self.self_attn_layer_norm = nn.LayerNorm(dims.width, eps=LAYER_NORM_EPS)
        self.fc1 = nn.Linear(dims.width, dims.mlp)
        self.fc2 = nn.Linear(dims.mlp, dims.width)
        self.final_layer_norm = nn.LayerNorm(dims.width, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """[B, T, C] → [B, T, C]; ``bias`` [B, 1, 1, T] hides padding."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), bias)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class AudioTower(nn.Module):
    """Qwen2-Audio's encoder up to its final norm (spec §1.2)."""

    def __init__(self, dims: AudioEncoderDims) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(dims.mel_bins, dims.width, 3, padding=1)
        self.conv2 = nn.Conv1d(dims.width, dims.width, 3, stride=2, padding=1)
        table = torch.from_numpy(sinusoids(dims.source_positions, dims.width))
        self.embed_positions = nn.Embedding.from_pretrained(table, freeze=True)
        self.layers = nn.ModuleList(EncoderLayer(dims) for _ in range(dims.layers))
        self.layer_norm = nn.LayerNorm(dims.width, eps=LAYER_NORM_EPS)

    def forward(self, mel: Tensor, counts: Tensor, middle: int) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            mel: [B, bins, 2·T + 2].
            counts: positions of each item, int64 [B]; those beyond are not attended to.
            middle: after how many layers the second result is taken.

        Returns:
            Tokens [B, T // 2, C] after pooling and the final norm, and middle states [B, T, C].
        """
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x)).transpose(1, 2)[:, :-1]
        x = x + self.embed_positions.weight[: x.shape[1]]
        beyond = torch.arange(x.shape[1])[None] >= counts[:, None]
        bias = torch.zeros(beyond.shape).masked_fill(beyond, MASKED)[:, None, None]
        states = x
        for i, layer in enumerate(self.layers):
            x = layer(x, bias)
            if i + 1 == middle:
                states = x
        even = x.shape[1] // 2 * 2
        pooled = x[:, :even].unflatten(1, (-1, 2)).mean(2)
        return self.layer_norm(pooled), states
