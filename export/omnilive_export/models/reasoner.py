"""``base/`` or ``merge_lora/``: the reasoner, InternLM2 with a CLIP tower (spec §1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilive_export.models.clip import PREPROCESSOR_NAME, clip_weights, read_clip_spec
from omnilive_export.models.host_mlp import host_mlp
from omnilive_export.models.internlm2 import internlm2_weights, read_internlm2_spec
from omnilive_export.models.layers import linear_weights
from omnilive_export.reading.config_file import read_config
from omnilive_export.reading.row_source import F32, RowSource, read_all
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.specs import ClipVitSpec, DecoderSpec, MlpSpec
from omnilive_export.weights import ClipVitWeights, DecoderWeights, MlpWeights

TOWER_FOLDER = "IXC2d5_clip_l_560"
TOWER_PREFIX = "vit.vision_tower.vision_model."
SELECT_LAYER = -1
"""The last layer's output, before the final norm; fixed in the reference's code (spec §1.3)."""

SEPARATOR_NAMES = ("plora_glb_GN", "plora_sub_GN")

DEFAULT_MAX_NEW_TOKENS = 512
"""The serving default of the online demo (spec §1.6)."""


@dataclass(frozen=True)
class ReasonerModel:
    """The reasoner: specs, weights, tables and the ids and limits its prompts need.

    Attributes:
        memory_projector: ``video_mem_proj``.
        separators: float32 [2, hidden], after ``vision_proj``: the end of the global view, then
            the end of a row.
        eos_ids: of config.json; the end of a turn is a tokenizer piece.
    """

    vit: ClipVitSpec
    vit_weights: ClipVitWeights
    projector: MlpSpec
    projector_weights: MlpWeights
    memory_projector: MlpSpec
    memory_projector_weights: MlpWeights
    lm: DecoderSpec
    lm_weights: DecoderWeights
    embedding: RowSource
    separators: F32
    bos_id: int
    eos_ids: tuple[int, ...]
    max_new_tokens: int
    trained: bool


def read_reasoner_model(
    folder: Path, fallback: Path, store: Tensors, *, memory_hidden: int | None
) -> ReasonerModel:
    """Read the reasoner's config.json and check it against the tensors.

    Args:
        folder: the reasoner.
        fallback: where files are looked up that a merged folder may lack (``base/``).
        store: its tensors.
        memory_hidden: width of the compressor's memory; None when there is no compressor to fit.

    Raises:
        CheckpointError: a key or tensor is missing or odd.
    """
    config = read_config(folder / "config.json")
    tower = first_existing(folder, fallback, f"{TOWER_FOLDER}/config.json").parent
    own = read_config(tower / "config.json")
    vit = read_clip_spec(
        own.section("vision_config") if "vision_config" in own else own,
        select_layer=SELECT_LAYER,
        layer_source=own,
        processor=tower / PREPROCESSOR_NAME,
    )
    lm = read_internlm2_spec(config)
    projector = _projector(store, "vision_proj", vit.features, lm.hidden)
    memory_projector = _projector(store, "video_mem_proj", memory_hidden, lm.hidden)
    shape = (lm.vocab, lm.hidden)
    head = store.tensor("output.weight", shape, why="vocab_size, hidden_size")
    bos = config.ids("bos_token_id")
    if len(bos) != 1:
        raise config.odd("bos_token_id", "one token id", config.values.get("bos_token_id"))
    generation = read_config(first_existing(folder, fallback, "generation_config.json"))
    return ReasonerModel(
        vit=vit,
        vit_weights=clip_weights(store, TOWER_PREFIX, vit),
        projector=projector[0],
        projector_weights=projector[1],
        memory_projector=memory_projector[0],
        memory_projector_weights=memory_projector[1],
        lm=lm,
        lm_weights=internlm2_weights(store, "model.", lm, head, bias=config.boolean("bias", True)),
        embedding=store.tensor("model.tok_embeddings.weight", shape, why="vocab_size, hidden_size"),
        separators=_separators(store, projector[0], projector[1]),
        bos_id=bos[0],
        eos_ids=config.ids("eos_token_id"),
        max_new_tokens=generation.integer("max_new_tokens", DEFAULT_MAX_NEW_TOKENS),
        trained=config.boolean("omnilive_trained", True),
    )


def first_existing(folder: Path, fallback: Path, name: str) -> Path:
    """``name`` in ``folder``, or in ``fallback`` where the first lacks it."""
    found = folder / name
    return found if found.exists() or not (fallback / name).exists() else fallback / name


def _projector(
    store: Tensors, name: str, inputs: int | None, outputs: int
) -> tuple[MlpSpec, MlpWeights]:
    why = "the width it reads, hidden_size"
    first = linear_weights(store, f"{name}.0", None, inputs, why=why)
    middle = first.weight.shape[0]
    second = linear_weights(store, f"{name}.2", outputs, middle, why=why)
    return MlpSpec(first.weight.shape[1], middle, outputs), MlpWeights(first, second)


def _separators(store: Tensors, spec: MlpSpec, weights: MlpWeights) -> F32:
    """The separators as the LM sees them.

    They are stored as wide as a 2×2-mixed token: the reference puts them between such tokens and
    sends all of them through ``vision_proj`` together.
    """
    rows = []
    for name, axes in zip(SEPARATOR_NAMES, (2, 3), strict=True):
        shape = (*([1] * axes), spec.inputs)
        tensor = store.tensor(name, shape, why="4 * the tower's hidden_size")
        rows.append(read_all(tensor).reshape(-1))
    return host_mlp(np.stack(rows), weights)
