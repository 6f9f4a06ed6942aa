"""The audio model as it is trained: encoder, projector and decoder under the checkpoint's names.

It knows nothing of labels or losses.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from omnilive_micropack.configs import WHISPER_HOP
from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.training.asr_decoder import Decoder
from omnilive_micropack.training.asr_encoder import AudioTower, LogMel


@dataclass(frozen=True, eq=False)
class Heard:
    """What the encoder made of a batch.

    Attributes:
        embeds: [B, tokens, lm width].
        tokens: [B, tokens, encoder width], before the projector.
        states: [B, positions, encoder width], of the middle layer.
        counts: tokens of each item, int64 [B].
    """

    embeds: Tensor
    tokens: Tensor
    states: Tensor
    counts: Tensor


class AudioModel(nn.Module):
    """Encoder, projector and decoder under the checkpoint's names."""

    def __init__(self, dims: FamilyDims) -> None:
        super().__init__()
        self.mel = LogMel(dims.audio_encoder.mel_bins)
        self.audio_tower = AudioTower(dims.audio_encoder)
        self.multi_modal_projector = nn.ModuleDict(
            {"linear": nn.Linear(dims.audio_encoder.width, dims.audio_lm.width)}
        )
        self.language_model = nn.ModuleDict({"model": Decoder(dims.audio_lm)})
        self.middle = dims.audio_encoder.layers // 2

    @property
    def decoder(self) -> Decoder:
        """The language model."""
        found = self.language_model["model"]
        assert isinstance(found, Decoder)
        return found

    def features(self, pcm: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel of [B, N] padded audio and the encoder positions of each item [B]."""
        lengths = (samples + WHISPER_HOP - 1) // WHISPER_HOP
        positions = (lengths - 1) // 2 + 1
        frames = -(-pcm.shape[1] // WHISPER_HOP)
        return self.mel(pcm, 2 * ((frames - 1) // 2 + 1) + 2), positions

    def hear(self, mel: Tensor, positions: Tensor) -> Heard:
        """Encode features of ``positions`` [B] valid encoder positions each."""
        tokens, states = self.audio_tower(mel, positions, self.middle)
        embeds = self.multi_modal_projector["linear"](tokens)
        return Heard(embeds, tokens, states, positions // 2)
