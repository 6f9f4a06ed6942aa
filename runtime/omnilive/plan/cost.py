"""What running an engine costs: bytes besides its weights, and floating point operations.

Formulas over ``EngineSize``; the constants that a backend decides are named here and nowhere
else. It never looks at the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.engine.manifest import EngineInfo, EngineSize
from omnilive.plan.demand import EngineDemand
from omnilive.versions import release

VALUE_BYTES = 4
"""Activations, feeds and results are float32."""

TILED_ATTENTION = (1, 28)
"""First onnxruntime whose attention over a KV arena never holds a whole matrix of scores.

Its CPU GroupQueryAttention is tiled since pull request 28962; until then a prefill holds
[query heads, rows, capacity].
"""


@dataclass(frozen=True)
class EngineBytes:
    """Memory of one engine.

    Attributes:
        weights: its files. Backends repack weights and let go of the originals, so what stays
            is as much as the files hold.
        kv: its arenas at their capacity. They come zeroed from the system and take memory only
            as far as tokens reach.
        activations: values alive at once in its largest run.
        workspace: what the backend's allocator holds beyond them, and feeds and results.
    """

    weights: int
    kv: int
    activations: int
    workspace: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.activations + self.workspace


def live_values(info: EngineInfo, size: EngineSize) -> int:
    """Values per row alive at once where a layer is widest.

    The residual stream is kept in two parts. A decoder's MLP has gate, up and their product
    beside it and the norm; Partial-LoRA the base product and the update as well. An encoder has
    either queries, keys and values twice (packed and split) with the result, or the MLP's middle
    before and after its bias. A projector has its input and twice its middle.
    """
    if info.kv is not None:
        wide = 5 if size.parameters.get("plora") else 3
        return wide * size.widest + 4 * size.width
    if size.layers:
        return 2 * size.width + max(2 * size.widest, 7 * size.attention_width)
    return size.width + 2 * size.widest


def engine_bytes(
    info: EngineInfo, size: EngineSize, demand: EngineDemand, backend_version: str
) -> EngineBytes:
    """What ``demand`` makes of one engine that onnxruntime runs.

    Its arena keeps every run's buffers in regions that never merge: it holds about
    twice what is alive (measured: between 1.4 and 2 times), so the workspace is as much again.

    Args:
        info, size: of the engine.
        demand: of the lane that runs it.
        backend_version: of onnxruntime; an unknown one counts as the newest.
    """
    activations = demand.rows * live_values(info, size) * VALUE_BYTES
    workspace = activations + (demand.fed_values + demand.given_values) * VALUE_BYTES
    kv = 0
    if info.kv is not None:
        kv = sum(demand.arenas) * info.kv.bytes_per_token()
        if () < release(backend_version)[:2] < TILED_ATTENTION:
            heads = size.attention_width // info.kv.head_dim
            workspace += heads * demand.rows * max(demand.arenas) * VALUE_BYTES
    return EngineBytes(sum(f.bytes for f in info.files), kv, activations, workspace)


def operations(
    size: EngineSize, rows: int, *, context: int, heads: int = 0, plora: int = 0
) -> float:
    """Floating point operations of one pass.

    2 per weight and row it is multiplied with, and 4 per attention value, row and attended
    position (queries with keys, scores with values) in each layer.

    Args:
        size: the engine's.
        rows: rows of the residual stream.
        context: positions a row attends to on average.
        heads: rows whose logits are wanted.
        plora: rows with Partial-LoRA.
    """
    multiplied = {"rows": rows, "merged": rows / 4, "head": heads, "plora": plora}
    products = sum(2.0 * count * multiplied[kind] for kind, count in size.parameters.items())
    return products + 4.0 * size.layers * size.attention_width * rows * context
