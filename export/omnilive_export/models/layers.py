"""What decoders and encoders of a checkpoint share: linears, norms and head widths.

Shapes are checked; values are never read.
"""

from __future__ import annotations

from omnilive_export.reading.config_file import ConfigFile
from omnilive_export.reading.tensor_store import TensorStore
from omnilive_export.weights import LinearWeights, NormWeights

HEAD_MULTIPLE = 16
"""GroupQueryAttention takes heads of a multiple of 16 values."""


def read_head_dim(config: ConfigFile, hidden: int, heads: int) -> int:
    """Width of an attention head: ``head_dim``, or hidden_size shared out over the heads.

    Raises:
        CheckpointError: it is no integer, or not one that fused attention takes.
    """
    if "head_dim" in config:
        head_dim = config.integer("head_dim")
    elif hidden % heads == 0:
        head_dim = hidden // heads
    else:
        raise config.odd("num_attention_heads", f"a divisor of hidden_size {hidden}", heads)
    if head_dim % HEAD_MULTIPLE:
        key = "head_dim" if "head_dim" in config else "num_attention_heads"
        raise config.odd(key, f"heads of a multiple of {HEAD_MULTIPLE} values", config.values[key])
    return head_dim


def norm_weights(store: TensorStore, name: str, width: int) -> NormWeights:
    """A layer norm ``name``.{weight,bias}."""
    return NormWeights(
        store.tensor(f"{name}.weight", (width,), why="the layer's width"),
        store.tensor(f"{name}.bias", (width,), why="the layer's width"),
    )


def linear_weights(
    store: TensorStore,
    name: str,
    rows: int | None,
    columns: int | None,
    *,
    why: str,
    bias: bool = True,
) -> LinearWeights:
    """A linear ``name``.weight [rows, columns], with ``name``.bias [rows] if ``bias``."""
    weight = store.tensor(f"{name}.weight", (rows, columns), why=why)
    if not bias:
        return LinearWeights(weight)
    return LinearWeights(weight, store.tensor(f"{name}.bias", (weight.shape[0],), why=why))
