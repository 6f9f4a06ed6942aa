"""The ``tensorrt`` dialect: operators of opset 21 only, every type explicit.

Norms, activations, softmax inputs and the residual stream are float32; matrix products, attention
and the KV arena are of the graph's compute type. It never uses a fused operator: those that
TensorRT's parser has come with 10.14 and 10.15.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnx import TensorProto

from omnilive_export.graphs.casts import Casts
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
from omnilive_export.graphs.tensorrt_arena import TensorrtArena
from omnilive_export.graphs.tensorrt_linear import weight_value
from omnilive_export.precision import LinearFormat
from omnilive_export.reading.row_source import RowSource, read_all
from omnilive_export.specs import DecoderSpec
from omnilive_export.weights import LinearWeights, NormWeights


class TensorrtGraph(DialectGraph):
    """A graph for TensorRT.

    Args:
        name: of the engine.
        compute: ``float16`` or ``float32``.
        formats: of single layers.
    """

    def __init__(self, name: str, compute: str, formats: LayerFormats | None = None) -> None:
        super().__init__(name)
        self._engine = name
        self._formats = formats or LayerFormats()
        self._casts = Casts(self, compute)

    def pixels(self, name: str, shape: Sequence[int | str]) -> str:
        """See ``DialectGraph.pixels``: TensorRT casts uint8 inputs before anything moves them.

        float16 holds 0..255 exactly in half the bytes of float32.
        """
        pixels = self.input(name, "uint8", shape)
        return self.op("Cast", [pixels], f"{name}.values", to=TensorProto.FLOAT16)

    def rms_norm(self, x: str, weight: RowSource, eps: float, name: str) -> str:
        """See ``DialectGraph.rms_norm``."""
        normed = self._over_root_mean_square(x, eps, name)
        gamma = self.array(f"{name}.weight", read_all(weight))
        return self.op("Mul", [normed, gamma], name)

    def add_rms_norm(
        self, x: str, delta: str, weight: RowSource, eps: float, name: str
    ) -> tuple[str, str]:
        """See ``DialectGraph.add_rms_norm``."""
        total = self.op("Add", [x, delta], f"{name}.sum")
        return self.rms_norm(total, weight, eps, name), total

    def layer_norm(self, x: str, weights: NormWeights, eps: float, name: str) -> str:
        """See ``DialectGraph.layer_norm``."""
        mean = self._mean(x, f"{name}.mean")
        centred = self.op("Sub", [x, mean], f"{name}.centred")
        normed = self._over_root_mean_square(centred, eps, name)
        gamma = self.array(f"{name}.weight", read_all(weights.weight))
        beta = self.array(f"{name}.bias", read_all(weights.bias))
        return self.op("Add", [self.op("Mul", [normed, gamma], f"{name}.scaled"), beta], name)

    def add_layer_norm(
        self, x: str, delta: str, weights: NormWeights, eps: float, name: str
    ) -> tuple[str, str]:
        """See ``DialectGraph.add_layer_norm``."""
        total = self.op("Add", [x, delta], f"{name}.sum")
        return self.layer_norm(total, weights, eps, name), total

    def activation(self, x: str, kind: str, name: str) -> str:
        """See ``DialectGraph.activation``."""
        if kind == GELU:
            scaled = self.op("Mul", [x, self.scalar("erf.scale", math.sqrt(0.5))], f"{name}.scaled")
            erf = self.op("Erf", [scaled], f"{name}.erf")
            lifted = self.op("Add", [erf, self.scalar("erf.one", 1.0)], f"{name}.lifted")
            half = self.op("Mul", [x, self.scalar("erf.half", 0.5)], f"{name}.half")
            return self.op("Mul", [half, lifted], name)
        argument = x
        if kind == QUICK_GELU:
            alpha = self.scalar("quick_gelu.alpha", QUICK_GELU_ALPHA)
            argument = self.op("Mul", [x, alpha], f"{name}.argument")
        elif kind != SILU:
            raise ValueError(f"no activation is called {kind!r}")
        return self.op("Mul", [x, self.op("Sigmoid", [argument], f"{name}.gate")], name)

    def attention(self, qkv: str, heads: int, width: int, bias: LinearWeights, name: str) -> str:
        """See ``DialectGraph.attention``."""
        if bias.bias is not None:
            values = self.array(f"{name}.qkv_bias", read_all(bias.bias))
            qkv = self.op("Add", [qkv, values], f"{name}.qkv")
        head_dim = width // heads
        parts = [f"{name}.{part}" for part in ("q", "k", "v")]
        sizes = self.ints(f"split.{width}", [width] * 3)
        self.op("Split", [self._casts.narrow(qkv), sizes], name, outputs=parts, axis=2)
        cut = self.ints(f"cut.{heads}", [0, 0, heads, head_dim])
        query, key, value = (
            self.op(
                "Transpose",
                [self.op("Reshape", [part, cut], f"{part}.cut")],
                f"{part}.heads",
                perm=[0, 2, 3, 1] if part is parts[1] else [0, 2, 1, 3],
            )
            for part in parts
        )
        # Half of the scale on each side keeps the products small: float16 ends at 65,504.
        scale = self._casts.narrow(self.scalar("attention.half_scale", head_dim**-0.25))
        query = self.op("Mul", [query, scale], f"{name}.q.scaled")
        key = self.op("Mul", [key, scale], f"{name}.k.scaled")
        scores = self.op("MatMul", [query, key], f"{name}.scores")
        weights = self.op("Softmax", [scores], f"{name}.weights", axis=-1)
        mixed = self.op("MatMul", [weights, value], f"{name}.mixed")
        moved = self.op("Transpose", [mixed], f"{name}.moved", perm=[0, 2, 1, 3])
        rows = self.op(
            "Reshape", [moved, self.ints(f"joined.{width}", [0, 0, width])], f"{name}.rows"
        )
        return self._casts.widen(rows, name)

    def matmul(
        self, x: str, weight: RowSource, fmt: LinearFormat, name: str, *, out: str | None = None
    ) -> str:
        """See ``DialectGraph.matmul``."""
        own = self._formats.of(self._engine, name, fmt)
        values = weight_value(self, weight, own, name, self._casts.compute)
        out = out or f"{name}.out"
        inputs = [self._casts.narrow(x), values]
        if self._casts.compute == "float32":
            return self.op("MatMul", inputs, out)
        return self._casts.widen(self.op("MatMul", inputs, f"{out}.narrow_product"), out)

    def add_to_rows(self, y: str, rows: PloraRows, update: str, out: str) -> str:
        """See ``DialectGraph.add_to_rows``: the parser's ScatterND has no reduction."""
        old = self.op("Gather", [y, rows.rows], f"{out}.rows", axis=1)
        new = self.op("Add", [old, update], f"{out}.updated")
        return self.op("ScatterND", [y, rows.scatter, new], out)

    def kv_arena(self, spec: DecoderSpec) -> KvArena:
        """See ``DialectGraph.kv_arena``."""
        return TensorrtArena(self, self._casts, spec)

    def _mean(self, x: str, name: str) -> str:
        return self.op("ReduceMean", [x, self.ints("norm.axes", [-1])], name, keepdims=1)

    def _over_root_mean_square(self, x: str, eps: float, name: str) -> str:
        """x / sqrt(mean(x²) + eps)."""
        square = self.op("Mul", [x, x], f"{name}.square")
        shifted = self.op(
            "Add",
            [self._mean(square, f"{name}.mean_square"), self.scalar(f"norm.eps.{eps:g}", eps)],
            f"{name}.shifted",
        )
        return self.op("Div", [x, self.op("Sqrt", [shifted], f"{name}.root")], f"{name}.normed")
