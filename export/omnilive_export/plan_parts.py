"""Plans what each model of the family brings to a pack: its graphs, tables and tokenizer.

Nothing is written and no large weight is read here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from omnilive.engine.manifest import ReasonerSpec
from omnilive.reasoning.config import MOST_TILES_PER_STEP
from omnilive_export.graphs.clip_vit import memory_vit_graph, reasoner_vit_graph
from omnilive_export.graphs.decoder import decoder_graph
from omnilive_export.graphs.dialect import NewGraph
from omnilive_export.graphs.projectors import memory_projector_graph, pool_projector_graph
from omnilive_export.graphs.whisper_encoder import audio_encoder_graph
from omnilive_export.models.audio import AudioModel
from omnilive_export.models.memory import MemoryModel
from omnilive_export.models.reasoner import ReasonerModel, first_existing
from omnilive_export.planned import PlannedEngine, PlannedPart
from omnilive_export.precision import FP32, PackPrecision
from omnilive_export.reading.row_source import ArrayRows
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.tables import PlannedTable
from omnilive_export.tokenizers import SENTENCEPIECE_NAME, piece_id

TURN_END = "[UNUSED_TOKEN_145]"
"""The piece that ends the reasoner's turn (spec §1.5)."""

MAX_FRAMES = 16
"""Frames of the longest clip, and of one run of the compressor's tower (spec §2.1, §10)."""


def memory_part(
    m: MemoryModel, store: Tensors, precision: PackPrecision, *, new_graph: NewGraph
) -> PlannedPart:
    """``mem_vit``, ``mem_proj``, ``mem_lm`` and the compressor's embeddings."""
    encoder = precision.encoder
    vit = memory_vit_graph(
        "mem_vit", m.vit, m.vit_weights, encoder, max_batch=MAX_FRAMES, new_graph=new_graph
    )
    projector = pool_projector_graph(
        "mem_proj",
        m.projector,
        m.projector_weights,
        encoder,
        max_frames=MAX_FRAMES,
        new_graph=new_graph,
    )
    lm = decoder_graph("mem_lm", m.lm, m.lm_weights, precision, new_graph=new_graph)
    return PlannedPart(
        engines=(
            PlannedEngine(vit, {"encoder": encoder.kind}),
            PlannedEngine(projector, {"projector": encoder.kind}),
            PlannedEngine(lm, {"blocks": precision.blocks.kind}),
        ),
        tables=(PlannedTable("mem_embed", m.embedding, precision.tables),),
        sources=source_files(store, [store.folder]),
        trained=m.trained,
        bpe={"memory": store.folder},
    )


def audio_part(
    m: AudioModel, store: Tensors, precision: PackPrecision, *, new_graph: NewGraph
) -> PlannedPart:
    """``aud_enc``, ``aud_lm`` and the audio model's embeddings."""
    encoder = audio_encoder_graph(
        "aud_enc", m.encoder, m.encoder_weights, precision.encoder, new_graph=new_graph
    )
    lm = decoder_graph("aud_lm", m.lm, m.lm_weights, precision, new_graph=new_graph)
    kinds = {"blocks": precision.blocks.kind, "head": precision.head.kind}
    return PlannedPart(
        engines=(
            PlannedEngine(encoder, {"encoder": precision.encoder.kind}),
            PlannedEngine(lm, kinds),
        ),
        tables=(PlannedTable("aud_embed", m.embedding, precision.tables),),
        sources=source_files(store, [store.folder]),
        trained=m.trained,
        bpe={"audio": store.folder},
    )


def reasoner_part(
    m: ReasonerModel,
    store: Tensors,
    precision: PackPrecision,
    *,
    fallback: Path,
    max_memory_tokens: int,
    new_graph: NewGraph,
) -> PlannedPart:
    """``vlm_vit``, ``vlm_lm``, ``mem_to_vlm``, and the reasoner's embeddings and separators.

    Args:
        m: the model.
        store: its tensors.
        precision: formats of the pack.
        fallback: where files are looked up that a merged folder may lack (``base/``).
        max_memory_tokens: rows of memory that one run of ``mem_to_vlm`` takes.
        new_graph: the dialect.
    """
    encoder = precision.encoder
    vit = reasoner_vit_graph(
        "vlm_vit",
        m.vit,
        m.vit_weights,
        m.projector,
        m.projector_weights,
        encoder,
        max_batch=MOST_TILES_PER_STEP,
        new_graph=new_graph,
    )
    lm = decoder_graph("vlm_lm", m.lm, m.lm_weights, precision, plora=True, new_graph=new_graph)
    bridge = memory_projector_graph(
        "mem_to_vlm",
        m.memory_projector,
        m.memory_projector_weights,
        encoder,
        max_tokens=max_memory_tokens,
        new_graph=new_graph,
    )
    kinds = {
        "blocks": precision.blocks.kind,
        "head": precision.head.kind,
        "plora": precision.plora.kind,
    }
    model = sentencepiece_file(store.folder, fallback)
    return PlannedPart(
        engines=(
            PlannedEngine(vit, {"encoder": encoder.kind, "projector": encoder.kind}),
            PlannedEngine(lm, kinds),
            PlannedEngine(bridge, {"projector": encoder.kind}),
        ),
        tables=(
            PlannedTable("vlm_embed", m.embedding, precision.tables),
            PlannedTable("vlm_separators", ArrayRows(m.separators), FP32),
        ),
        sources=(*source_files(store, [store.folder, fallback]), model),
        trained=m.trained,
        sentencepiece={"reasoner": model},
    )


def reasoner_spec(m: ReasonerModel, tokenizer_model: Path) -> ReasonerSpec:
    """The reasoner's dimensions and ids for the manifest. Raises CheckpointError."""
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


def sentencepiece_file(folder: Path, fallback: Path) -> Path:
    """The reasoner's tokenizer.model."""
    return first_existing(folder, fallback, SENTENCEPIECE_NAME)


def source_files(store: Tensors, folders: Iterable[Path]) -> tuple[Path, ...]:
    """Weights, and every small file of ``folders`` that decides what they mean."""
    found = set(store.files)
    for folder in folders:
        if folder.is_dir():
            found.update(folder.rglob("*.json"))
            found.update(folder.glob("merges.txt"))
    return tuple(sorted(found))
