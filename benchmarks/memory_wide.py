"""A pack of the whole family at its real widths, two layers deep, with seeded random weights.

What a miniature can't show: how the stages' times relate to each other. It never measures.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from omnilive.errors import OmniLiveError
from omnilive_export.cli import main as build_engines
from omnilive_micropack.checkpoint import write_checkpoint
from omnilive_micropack.dimensions import FULL, FamilyDims
from omnilive_micropack.weights import pooled

LAYERS = 2
VOCAB = 2048
SEED = 0


def shallow() -> FamilyDims:
    """The real family with two layers per model; three where the last is not run."""
    return replace(
        FULL,
        memory_tower=replace(FULL.memory_tower, layers=LAYERS + 1),
        memory_lm=replace(FULL.memory_lm, layers=LAYERS, vocab=VOCAB),
        audio_encoder=replace(FULL.audio_encoder, layers=LAYERS),
        audio_lm=replace(FULL.audio_lm, layers=LAYERS, vocab=VOCAB),
        reasoner_tower=replace(FULL.reasoner_tower, layers=LAYERS),
        reasoner_lm=replace(FULL.reasoner_lm, layers=LAYERS, vocab=VOCAB),
    )


def wide_pack(folder: Path) -> Path:
    """The int4 pack in ``folder``, built there unless it is there already.

    Takes 2.4 GB of disk while it is built and 0.7 GB afterwards.

    Raises:
        OmniLiveError: it could not be built.
    """
    pack = folder / "int4"
    if not (pack / "manifest.json").is_file():
        checkpoint = folder / "checkpoint"
        write_checkpoint(checkpoint, shallow(), SEED, draw=pooled(SEED))
        built = ["--checkpoint", str(checkpoint), "--out", str(pack), "--precision", "int4"]
        if build_engines(built) != 0:
            raise OmniLiveError(
                "could not be built", where=str(pack), mend="See what the builder said above."
            )
        shutil.rmtree(checkpoint)
    return pack
