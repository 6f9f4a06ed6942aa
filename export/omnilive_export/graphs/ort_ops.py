"""The ``ort`` dialect: the fused operators of ONNX Runtime.

It never builds a graph of its own accord: graph families call it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from omnilive_export.graphs.builder import CONTRIB
from omnilive_export.graphs.dialect import (
    GELU,
    QUICK_GELU,
    QUICK_GELU_ALPHA,
    SILU,
    DialectGraph,
    KvArena,
    PloraRows,
)
from omnilive_export.graphs.layer_formats import LayerFormats
from omnilive_export.graphs.ort_arena import OrtArena
from omnilive_export.graphs.ort_dynamic import dynamic_matmul
from omnilive_export.graphs.ort_linear import block_matmul, float_matmul
from omnilive_export.precision import FP32, INT8_DYNAMIC, LinearFormat
from omnilive_export.quantizing.quantizer import BlockQuantizer
from omnilive_export.reading.row_source import RowSource, read_all
from omnilive_export.specs import DecoderSpec
from omnilive_export.weights import LinearWeights, NormWeights


class OrtGraph(DialectGraph):
    """A graph for ONNX Runtime.

    Args:
        name: of the engine.
        quantizer: of its weights; by default one that only rounds to nearest or needs no
            statistics, and keeps nothing.
        formats: of single layers.
    """

    def __init__(
        self,
        name: str,
        quantizer: BlockQuantizer | None = None,
        formats: LayerFormats | None = None,
    ) -> None:
        super().__init__(name)
        self._quantizer = quantizer or BlockQuantizer()
        self._formats = formats or LayerFormats()

    def pixels(self, name: str, shape: Sequence[int | str]) -> str:
        """See ``DialectGraph.pixels``: bytes are moved as they are."""
        return self.input(name, "uint8", shape)

    def rms_norm(self, x: str, weight: RowSource, eps: float, name: str) -> str:
        """See ``DialectGraph.rms_norm``."""
        gamma = self.array(f"{name}.weight", read_all(weight))
        return self.op("SimplifiedLayerNormalization", [x, gamma], name, axis=-1, epsilon=eps)

    def add_rms_norm(
        self, x: str, delta: str, weight: RowSource, eps: float, name: str
    ) -> tuple[str, str]:
        """See ``DialectGraph.add_rms_norm``."""
        gamma = self.array(f"{name}.weight", read_all(weight))
        return self._skip_norm("SkipSimplifiedLayerNormalization", [x, delta, gamma], eps, name)

    def layer_norm(self, x: str, weights: NormWeights, eps: float, name: str) -> str:
        """See ``DialectGraph.layer_norm``."""
        gamma = self.array(f"{name}.weight", read_all(weights.weight))
        beta = self.array(f"{name}.bias", read_all(weights.bias))
        return self.op("LayerNormalization", [x, gamma, beta], name, axis=-1, epsilon=eps)

    def add_layer_norm(
        self, x: str, delta: str, weights: NormWeights, eps: float, name: str
    ) -> tuple[str, str]:
        """See ``DialectGraph.add_layer_norm``."""
        gamma = self.array(f"{name}.weight", read_all(weights.weight))
        beta = self.array(f"{name}.bias", read_all(weights.bias))
        return self._skip_norm("SkipLayerNormalization", [x, delta, gamma, beta], eps, name)

    def activation(self, x: str, kind: str, name: str) -> str:
        """See ``DialectGraph.activation``."""
        if kind == GELU:
            return self.op("Gelu", [x], name, approximate="none")
        alpha = {QUICK_GELU: QUICK_GELU_ALPHA, SILU: 1.0}[kind]
        return self.op("QuickGelu", [x], name, domain=CONTRIB, alpha=alpha)

    def attention(self, qkv: str, heads: int, width: int, bias: LinearWeights, name: str) -> str:
        """See ``DialectGraph.attention``."""
        parts = [f"{name}.{part}" for part in ("q", "k", "v")]
        self.op(
            "Split", [qkv, self.ints(f"split.{width}", [width] * 3)], name, outputs=parts, axis=2
        )
        inputs = list(parts)
        if bias.bias is not None:
            inputs.append(self.array(f"{name}.qkv_bias", read_all(bias.bias)))
        return self.op(
            "MultiHeadAttention",
            inputs,
            name,
            domain=CONTRIB,
            num_heads=heads,
            scale=1.0 / math.sqrt(width // heads),
        )

    def matmul(
        self, x: str, weight: RowSource, fmt: LinearFormat, name: str, *, out: str | None = None
    ) -> str:
        """See ``DialectGraph.matmul``."""
        out = out or f"{name}.out"
        own = self._formats.of(self._name, name, fmt)
        if own.kind == FP32:
            return float_matmul(self, x, weight, name, out)
        if own.kind == INT8_DYNAMIC:
            return dynamic_matmul(self, x, weight, own.largest_code, name, out)
        quantized = self._quantizer.plan(weight, own, f"{self._name}/{name}")
        return block_matmul(self, x, quantized, own, name, out)

    def add_to_rows(self, y: str, rows: PloraRows, update: str, out: str) -> str:
        """See ``DialectGraph.add_to_rows``."""
        return self.op("ScatterND", [y, rows.scatter, update], out, reduction="add")

    def kv_arena(self, spec: DecoderSpec) -> KvArena:
        """See ``DialectGraph.kv_arena``."""
        return OrtArena(self, spec)

    def _skip_norm(self, op_type: str, inputs: list[str], eps: float, name: str) -> tuple[str, str]:
        total = f"{name}.sum"
        self.op(op_type, inputs, name, outputs=[name, "", "", total], domain=CONTRIB, epsilon=eps)
        return name, total
