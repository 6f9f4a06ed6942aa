"""Holds the inputs and outputs of a loaded graph against the manifest, whatever the backend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omnilive.engine.architecture import shape_fits
from omnilive.engine.manifest import REBUILD, EngineInfo, TensorInfo
from omnilive.errors import PackError

INPUT, OUTPUT = "input", "output"


def check_io(
    info: EngineInfo,
    folder: Path,
    side: str,
    graph: Sequence[TensorInfo],
    recorded: Sequence[TensorInfo],
) -> None:
    """Hold the tensors that a graph has against those that the manifest records.

    Args:
        info: the engine.
        folder: its pack.
        side: INPUT or OUTPUT.
        graph: what the backend says it loaded; an axis that is not fixed has a name.
        recorded: the manifest's, those of the arena included.

    Raises:
        PackError: a name, dtype or fixed size differs.
    """
    have = {tensor.name: tensor for tensor in graph}
    want = {tensor.name: tensor for tensor in recorded}
    for name in sorted(have.keys() | want.keys()):
        graph_side, manifest_side = have.get(name), want.get(name)
        if graph_side is None:
            what = f"its graph lacks the {side} {name} that the manifest records"
        elif manifest_side is None:
            what = f"its graph has an {side} {name} that the manifest does not record"
        elif graph_side.dtype != manifest_side.dtype or not shape_fits(
            manifest_side.shape, graph_side.shape
        ):
            what = (
                f"its graph's {side} {name} is {graph_side.dtype}{list(graph_side.shape)}, "
                f"the manifest records {manifest_side.dtype}{list(manifest_side.shape)}"
            )
        else:
            continue
        raise PackError(
            what,
            where=f"engine {info.name} ({folder / info.model})",
            mend=REBUILD.format(pack=folder),
        )
