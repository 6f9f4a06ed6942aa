"""Plans what a plain Hugging Face folder brings to a pack: one engine, and a decoder's table.

Nothing is written and no large weight is read here.
"""

from __future__ import annotations

from pathlib import Path

from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.graphs.decoder import decoder_graph
from omnilive_export.graphs.dialect import NewGraph
from omnilive_export.graphs.plain_clip import plain_clip_graph
from omnilive_export.graphs.plain_whisper import plain_whisper_graph
from omnilive_export.models.single import (
    ClipModel,
    DecoderModel,
    WhisperModel,
    read_single_model,
)
from omnilive_export.plan_parts import MAX_FRAMES, source_files
from omnilive_export.planned import PlannedEngine, PlannedPart
from omnilive_export.precision import PackPrecision
from omnilive_export.reading.tensor_store import Tensors
from omnilive_export.tables import PlannedTable
from omnilive_export.tokenizers import BPE_NAME, SENTENCEPIECE_NAME

VIT, ENCODER, LM = "vit", "encoder", "lm"
"""Names of the engines, by what they are."""

LM_EMBED = "lm_embed"


def single_part(
    folder: Path, store: Tensors, precision: PackPrecision, *, new_graph: NewGraph
) -> PlannedPart:
    """The engine of the model in ``folder``; a decoder's embeddings and tokenizer beside it.

    Raises:
        CheckpointError: the model is of no known architecture, or a key or tensor is odd.
    """
    model = read_single_model(folder, store)
    sources = source_files(store, [folder])
    if isinstance(model, DecoderModel):
        return _decoder_part(model, folder, sources, precision, new_graph)
    graph = _encoder_graph(model, precision, new_graph)
    engine = PlannedEngine(graph, {"encoder": precision.encoder.kind})
    return PlannedPart(engines=(engine,), tables=(), sources=sources, trained=True)


def _encoder_graph(
    model: ClipModel | WhisperModel, precision: PackPrecision, new_graph: NewGraph
) -> PlannedGraph:
    if isinstance(model, WhisperModel):
        return plain_whisper_graph(
            ENCODER, model.spec, model.weights, precision.encoder, new_graph=new_graph
        )
    return plain_clip_graph(
        VIT,
        model.spec,
        model.weights,
        model.post_norm,
        model.projection,
        precision.encoder,
        max_batch=MAX_FRAMES,
        new_graph=new_graph,
    )


def _decoder_part(
    model: DecoderModel,
    folder: Path,
    sources: tuple[Path, ...],
    precision: PackPrecision,
    new_graph: NewGraph,
) -> PlannedPart:
    graph = decoder_graph(LM, model.spec, model.weights, precision, new_graph=new_graph)
    kinds = {"blocks": precision.blocks.kind, "head": precision.head.kind}
    ready, pieces = folder / BPE_NAME, folder / SENTENCEPIECE_NAME
    own_files = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    return PlannedPart(
        engines=(PlannedEngine(graph, kinds),),
        tables=(PlannedTable(LM_EMBED, model.embedding, precision.tables),),
        sources=(*sources, pieces) if pieces.is_file() else sources,
        trained=True,
        ready_made={LM: ready} if ready.is_file() else {},
        sentencepiece={LM: pieces} if pieces.is_file() and not ready.is_file() else {},
        bpe={LM: folder} if own_files and not (ready.is_file() or pieces.is_file()) else {},
    )
