"""What is scored side by side: a pack with a preset, and with a part of the evidence taken away.

A part is taken away by the runtime's own configuration, or by silence in place of sound; nothing
here knows a question or a truth.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np

from omnilive.config import RuntimeConfig
from omnilive.engine.interface import F32
from omnilive.engine.pack import EnginePack
from omnilive.perception.audio_model import AudioModel, SoundClass, Transcript

FRAMES, MEMORY, AUDIO, RETRIEVAL = "frames", "memory", "audio", "retrieval"
ABLATIONS = (FRAMES, MEMORY, AUDIO, RETRIEVAL)
"""What can be taken away: the pictures in the prompt, the memory tokens in the prompt, the sound,
and the choice of clips by the question (nothing is chosen then)."""

SEPARATOR = "+"
"""Joins ablations that are taken away together."""

PACK, PRESET, ABLATION = "pack", "preset", "ablation"
"""What a variant differs in from the first one."""


@dataclass(frozen=True, eq=False)
class Variant:
    """One column of the result.

    Attributes:
        label: names it in tables and files; no two of a run are the same.
        role: ``pack``, ``preset`` or ``ablation``.
        ablated: members of ``ABLATIONS``; ``config`` already leaves out what it can.
    """

    label: str
    role: str
    pack: EnginePack
    preset: str
    config: RuntimeConfig
    ablated: frozenset[str] = frozenset()

    @property
    def identity(self) -> str:
        """A digest of all that decides its figures: the pack's files, settings and ablations.

        When and where the pack was built is not in it: the same pack built anew is the same.
        """
        files = sorted((file.path, file.sha256) for file in self.pack.manifest.all_files())
        calibration = sorted(self.pack.calibration.items())
        settings = sorted(dataclasses.asdict(self.config).items())
        decisive = (files, calibration, self.preset, settings, sorted(self.ablated))
        return hashlib.sha256(repr(decisive).encode()).hexdigest()


def ablate(config: RuntimeConfig, ablated: frozenset[str]) -> RuntimeConfig:
    """``config`` without the parts it can leave out; sound is left out elsewhere."""
    replace = dataclasses.replace
    if FRAMES in ablated:
        config = replace(config, budget=replace(config.budget, max_frames=0))
    if MEMORY in ablated:
        config = replace(config, evidence=replace(config.evidence, memory_tokens=False))
    if RETRIEVAL in ablated:
        # No probability exceeds 1, and nothing stands in for what is not selected.
        nothing = replace(
            config.retrieval, rule="softmax_threshold", min_probability=1.0, fallback="none"
        )
        config = replace(config, retrieval=nothing)
    return config


def hearing_of(variant: Variant) -> AudioModel:
    """The variant's audio model, deaf if sound is taken away."""
    kind = DeafModel if AUDIO in variant.ablated else AudioModel
    return kind(variant.pack, variant.config.recognition)


class DeafModel(AudioModel):
    """An audio model that is given silence of the same length as what it should hear."""

    def classify(self, samples: F32) -> SoundClass:
        """As ``AudioModel.classify``."""
        return super().classify(np.zeros_like(samples))

    def transcribe(self, samples: F32) -> Transcript:
        """As ``AudioModel.transcribe``."""
        return super().transcribe(np.zeros_like(samples))
