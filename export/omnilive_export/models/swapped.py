"""Plain Hugging Face towers and encoders in the place of a checkpoint's own.

What reads them stays the checkpoint's, so they must give what it was made for. Values of the part
that is replaced are never read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from omnilive.errors import CheckpointError
from omnilive_export.models.audio import AudioModel
from omnilive_export.models.clip import PREPROCESSOR_NAME, clip_weights, read_clip_spec
from omnilive_export.models.memory import MemoryModel
from omnilive_export.models.reasoner import SELECT_LAYER, ReasonerModel
from omnilive_export.models.single import (
    CLIP_ARCHITECTURES,
    WHISPER_ARCHITECTURE,
    tower_prefix,
    vision_config,
)
from omnilive_export.models.whisper import read_whisper_spec, whisper_weights
from omnilive_export.reading.checkpoint import CONFIG_NAME, architecture
from omnilive_export.reading.config_file import ConfigFile, read_config
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.recipe import AUDIO_ENCODER, MEMORY_VIT, REASONER_VIT
from omnilive_export.specs import ClipVitSpec
from omnilive_export.weights import ClipVitWeights


def with_memory_tower(m: MemoryModel, folder: Path, store: Tensors) -> MemoryModel:
    """The compressor with the CLIP tower of ``store``, run to the same hidden state.

    Args:
        m: the checkpoint's.
        folder: it was read from.
        store: the tower's tensors, its config.json in their folder.

    Raises:
        CheckpointError: another geometry than the projector reads, or a key or tensor is odd.
    """
    layer = read_config(folder / CONFIG_NAME).index("mm_vision_select_layer")
    spec, weights, trained = _tower(MEMORY_VIT, store, m.vit, select_layer=layer)
    return replace(m, vit=spec, vit_weights=weights, trained=m.trained and trained)


def with_reasoner_tower(m: ReasonerModel, store: Tensors) -> ReasonerModel:
    """The reasoner with the CLIP tower of ``store``; see ``with_memory_tower``."""
    spec, weights, trained = _tower(REASONER_VIT, store, m.vit, select_layer=SELECT_LAYER)
    return replace(m, vit=spec, vit_weights=weights, trained=m.trained and trained)


def with_audio_encoder(m: AudioModel, store: Tensors) -> AudioModel:
    """The audio model with the encoder of the Whisper model of ``store``, and its own projector.

    Raises:
        CheckpointError: another width than the projector reads, another front end than the audio
            model was made with, or a key or tensor is odd.
    """
    config = _config(AUDIO_ENCODER, store, (WHISPER_ARCHITECTURE,))
    spec = read_whisper_spec(config, store.folder, outputs=m.encoder.outputs)
    own, mel = m.encoder, m.encoder.mel
    for key, expected, found in (
        ("d_model", own.hidden, spec.hidden),
        ("num_mel_bins", mel.bins, spec.mel.bins),
        ("hop_length", mel.hop, spec.mel.hop),
        ("n_fft", mel.n_fft, spec.mel.n_fft),
        ("max_source_positions", own.positions, spec.positions),
    ):
        if expected != found:
            raise _misfit(AUDIO_ENCODER, store, key, str(expected), found)
    weights = whisper_weights(store, "model.encoder.", spec)
    return replace(
        m,
        encoder=spec,
        encoder_weights=replace(weights, projector=m.encoder_weights.projector),
        trained=m.trained and _trained(config),
    )


def _tower(
    part: str, store: Tensors, own: ClipVitSpec, *, select_layer: int
) -> tuple[ClipVitSpec, ClipVitWeights, bool]:
    """Spec and weights of a tower that gives what ``own`` gives, and whether it is trained."""
    config = _config(part, store, CLIP_ARCHITECTURES)
    vision = vision_config(config)
    layers = vision.integer("num_hidden_layers")
    least = select_layer if select_layer >= 0 else -select_layer - 1
    if layers < least:
        what = f"at least {least}, for hidden state {select_layer}"
        raise _misfit(part, store, "num_hidden_layers", what, layers)
    spec = read_clip_spec(
        vision,
        select_layer=select_layer,
        layer_source=vision,
        processor=store.folder / PREPROCESSOR_NAME,
        mixed=False,
    )
    if spec.hidden != own.hidden:
        raise _misfit(part, store, "hidden_size", str(own.hidden), spec.hidden)
    if spec.patches != own.patches:
        key, expected = "image_size / patch_size", f"{own.patches} patches per side"
        raise _misfit(part, store, key, expected, spec.patches)
    return spec, clip_weights(store, tower_prefix(store), spec), _trained(config)


def _config(part: str, store: Tensors, architectures: tuple[str, ...]) -> ConfigFile:
    config = read_config(store.folder / CONFIG_NAME)
    kind = architecture(config)
    if kind not in architectures:
        raise _misfit(part, store, "architectures", " or ".join(architectures), kind)
    return config


def _trained(config: ConfigFile) -> bool:
    """False for seeded random weights, as the miniature's own models say it."""
    return config.boolean("omnilive_trained", True)


def _misfit(part: str, store: Tensors, key: str, expected: str, found: object) -> CheckpointError:
    return CheckpointError(
        f"cannot be the {part}: {key} expected {expected}, found {found}",
        where=str(store.folder / CONFIG_NAME),
        mend="The checkpoint's own projector reads it: name a model of that geometry in"
        f" models.{part} of the recipe, or leave it out.",
    )
