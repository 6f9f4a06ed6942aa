"""Plans a whole pack from a checkpoint: every graph and table, and how much each costs.

Nothing is written and no large weight is read here, so a misfit shows before the first byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from omnilive.engine.manifest import AudioSpec, MemorySpec, ReasonerSpec
from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.graphs.clip_vit import memory_vit_graph, reasoner_vit_graph
from omnilive_export.graphs.decoder import decoder_graph
from omnilive_export.graphs.projectors import memory_projector_graph, pool_projector_graph
from omnilive_export.graphs.whisper_encoder import audio_encoder_graph
from omnilive_export.models.audio import AudioModel, read_audio_model
from omnilive_export.models.memory import MemoryModel, read_memory_model
from omnilive_export.models.reasoner import ReasonerModel, first_existing, read_reasoner_model
from omnilive_export.precision import FP32, PackPrecision
from omnilive_export.reading.checkpoint import CheckpointFolders
from omnilive_export.reading.row_source import ArrayRows
from omnilive_export.reading.tensor_store import TensorStore
from omnilive_export.tables import PlannedTable
from omnilive_export.tokenizers import SENTENCEPIECE_NAME, piece_id

TURN_END = "[UNUSED_TOKEN_145]"
"""The piece that ends the reasoner's turn (spec §1.5)."""

MAX_FRAMES = 16
"""Frames of the longest clip, and of one run of the compressor's tower (spec §2.1, §10)."""

MAX_TILES = 26
"""Tiles of one picture at the reference's largest hd_num, 25, and its global view (spec §1.4)."""


@dataclass(frozen=True)
class PlannedEngine:
    """One graph and the formats of its groups of weights."""

    graph: PlannedGraph
    precision: Mapping[str, str]


@dataclass(frozen=True)
class PackPlan:
    """Everything a pack will hold.

    Attributes:
        engines, tables: in the order they are written.
        bpe: tokenizer name → folder of its vocab.json.
        sentencepiece: tokenizer name → its model file.
        sources: every checkpoint file the pack depends on.
        trained: False when any model holds seeded random weights.
    """

    engines: tuple[PlannedEngine, ...]
    tables: tuple[PlannedTable, ...]
    bpe: Mapping[str, Path]
    sentencepiece: Mapping[str, Path]
    sources: tuple[Path, ...]
    memory: MemorySpec
    audio: AudioSpec
    reasoner: ReasonerSpec
    trained: bool

    @property
    def cost(self) -> int:
        """Values that will be read."""
        return sum(e.graph.cost for e in self.engines) + sum(t.cost for t in self.tables)

    @property
    def nbytes(self) -> int:
        """Bytes of weights and tables that will be written."""
        return sum(e.graph.nbytes for e in self.engines) + sum(t.nbytes for t in self.tables)


def plan_pack(folders: CheckpointFolders, precision: PackPrecision, stack: ExitStack) -> PackPlan:
    """Plan the pack of a checkpoint.

    Args:
        folders: the checkpoint.
        precision: formats of the pack.
        stack: closes the checkpoint's files; the plan reads from them until then.

    Raises:
        CheckpointError: a file, key or tensor is missing or odd.
    """
    stores = {}
    for folder in (folders.memory, folders.audio, folders.reasoner):
        store = TensorStore(folder)
        stack.callback(store.close)
        stores[folder] = store
    memory = read_memory_model(folders.memory, stores[folders.memory])
    audio = read_audio_model(folders.audio, stores[folders.audio])
    reasoner = read_reasoner_model(
        folders.reasoner,
        folders.reasoner_fallback,
        stores[folders.reasoner],
        memory_hidden=memory.lm.hidden,
    )
    model = first_existing(folders.reasoner, folders.reasoner_fallback, SENTENCEPIECE_NAME)
    return PackPlan(
        engines=(
            *_memory_engines(memory, precision),
            *_audio_engines(audio, precision),
            *_reasoner_engines(reasoner, memory, precision),
        ),
        tables=(
            PlannedTable("mem_embed", memory.embedding, precision.tables),
            PlannedTable("aud_embed", audio.embedding, precision.tables),
            PlannedTable("vlm_embed", reasoner.embedding, precision.tables),
            PlannedTable("vlm_separators", ArrayRows(reasoner.separators), FP32),
        ),
        bpe={"memory": folders.memory, "audio": folders.audio},
        sentencepiece={"reasoner": model},
        sources=_sources(folders, stores, model),
        memory=memory.manifest_spec(),
        audio=audio.manifest_spec(),
        reasoner=_reasoner_spec(reasoner, model),
        trained=memory.trained and audio.trained and reasoner.trained,
    )


def _memory_engines(m: MemoryModel, precision: PackPrecision) -> tuple[PlannedEngine, ...]:
    encoder = precision.encoder
    vit = memory_vit_graph("mem_vit", m.vit, m.vit_weights, encoder, max_batch=MAX_FRAMES)
    projector = pool_projector_graph(
        "mem_proj", m.projector, m.projector_weights, encoder, max_frames=MAX_FRAMES
    )
    lm = decoder_graph("mem_lm", m.lm, m.lm_weights, precision)
    return (
        PlannedEngine(vit, {"encoder": encoder.kind}),
        PlannedEngine(projector, {"projector": encoder.kind}),
        PlannedEngine(lm, {"blocks": precision.blocks.kind}),
    )


def _audio_engines(m: AudioModel, precision: PackPrecision) -> tuple[PlannedEngine, ...]:
    encoder = audio_encoder_graph("aud_enc", m.encoder, m.encoder_weights, precision.encoder)
    lm = decoder_graph("aud_lm", m.lm, m.lm_weights, precision)
    kinds = {"blocks": precision.blocks.kind, "head": precision.head.kind}
    return PlannedEngine(encoder, {"encoder": precision.encoder.kind}), PlannedEngine(lm, kinds)


def _reasoner_engines(
    m: ReasonerModel, memory: MemoryModel, precision: PackPrecision
) -> tuple[PlannedEngine, ...]:
    encoder = precision.encoder
    vit = reasoner_vit_graph(
        "vlm_vit",
        m.vit,
        m.vit_weights,
        m.projector,
        m.projector_weights,
        encoder,
        max_batch=MAX_TILES,
    )
    lm = decoder_graph("vlm_lm", m.lm, m.lm_weights, precision, plora=True)
    bridge = memory_projector_graph(
        "mem_to_vlm",
        m.memory_projector,
        m.memory_projector_weights,
        encoder,
        max_tokens=memory.lm.max_positions,
    )
    kinds = {
        "blocks": precision.blocks.kind,
        "head": precision.head.kind,
        "plora": precision.plora.kind,
    }
    return (
        PlannedEngine(vit, {"encoder": encoder.kind, "projector": encoder.kind}),
        PlannedEngine(lm, kinds),
        PlannedEngine(bridge, {"projector": encoder.kind}),
    )


def _reasoner_spec(m: ReasonerModel, tokenizer_model: Path) -> ReasonerSpec:
    stop_ids = {piece_id(tokenizer_model, TURN_END), *m.eos_ids}
    return ReasonerSpec(
        pixels=m.vit.pixels,
        grid=m.vit.grid,
        hidden=m.lm.hidden,
        vocab=m.lm.vocab,
        max_positions=m.lm.max_positions,
        bos_id=m.bos_id,
        stop_ids=tuple(sorted(stop_ids)),
        max_new_tokens=m.max_new_tokens,
    )


def _sources(
    folders: CheckpointFolders, stores: Mapping[Path, TensorStore], tokenizer_model: Path
) -> tuple[Path, ...]:
    """Weights, and every small file of the folders that decides what they mean."""
    found = {tokenizer_model}
    for store in stores.values():
        found.update(store.files)
    for folder in (folders.memory, folders.audio, folders.reasoner, folders.reasoner_fallback):
        if folder.is_dir():
            found.update(folder.rglob("*.json"))
            found.update(folder.glob("merges.txt"))
    return tuple(sorted(found))
