"""A CLIP vision tower as the reference library gives it out: every token, pooled, projected.

Normalization lies inside the graph. It never mixes tokens: that is the family's own.
"""

from __future__ import annotations

import numpy as np

from omnilive_export.graphs.builder import PlannedGraph
from omnilive_export.graphs.clip_vit import CHANNELS, tower
from omnilive_export.graphs.dialect import NewGraph
from omnilive_export.graphs.ort_ops import OrtGraph
from omnilive_export.precision import LinearFormat
from omnilive_export.reading.row_source import RowSource
from omnilive_export.specs import ClipVitSpec
from omnilive_export.weights import ClipVitWeights, NormWeights


def plain_clip_graph(
    name: str,
    spec: ClipVitSpec,
    weights: ClipVitWeights,
    post_norm: NormWeights,
    projection: RowSource | None,
    fmt: LinearFormat,
    *,
    max_batch: int,
    new_graph: NewGraph = OrtGraph,
) -> PlannedGraph:
    """``CLIPVisionModel``, or with ``projection`` ``CLIPVisionModelWithProjection``.

    Input ``pixels`` uint8 [N, pixels, pixels, 3] RGB. Outputs ``hidden`` float32
    [N, 1 + patches², hidden], the last layer's; ``pooled`` float32 [N, hidden], its normed class
    token; with a projection ``embeds`` float32 [N, projection's rows].
    """
    b = new_graph(name)
    pixels = b.pixels("pixels", ("pictures", spec.pixels, spec.pixels, CHANNELS))
    hidden = b.op("Identity", [tower(b, pixels, spec, weights, fmt)], "hidden")
    first = b.constant("cls_index", np.array(0, dtype=np.int64))
    cls = b.op("Gather", [hidden, first], "cls", axis=1)
    pooled = b.layer_norm(cls, post_norm, spec.eps, "pooled")
    b.output("hidden", "float32", ("pictures", 1 + spec.patches**2, spec.hidden))
    b.output("pooled", "float32", ("pictures", spec.hidden))
    if projection is not None:
        b.matmul(pooled, projection, fmt, "projection.weight", out="embeds")
        b.output("embeds", "float32", ("pictures", projection.shape[0]))
    return b.finish(profile={"pictures": max_batch})
