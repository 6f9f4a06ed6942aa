"""Explicit casts between float32 and the type that matrices are multiplied in.

A strongly typed network computes each operator in the type of its inputs, so the types are
written into the graph. It never casts a value twice to the same type.
"""

from __future__ import annotations

from onnx import TensorProto

from omnilive_export.graphs.builder import GraphBuilder

_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}


class Casts:
    """The casts of one graph.

    Args:
        b: the graph.
        compute: ``float16`` or ``float32``.
    """

    def __init__(self, b: GraphBuilder, compute: str) -> None:
        self._b = b
        self.compute = compute
        self._narrowed: dict[str, str] = {}

    def narrow(self, x: str, name: str | None = None) -> str:
        """The float32 value ``x`` in the compute type, called ``name`` if that is given."""
        if name is not None:
            return self._cast(x, self.compute, name)
        if x not in self._narrowed:
            same = self.compute == "float32"
            self._narrowed[x] = x if same else self._cast(x, self.compute, f"{x}.narrow")
        return self._narrowed[x]

    def widen(self, x: str, name: str) -> str:
        """``x`` of the compute type as float32, called ``name``."""
        return self._cast(x, "float32", name)

    def _cast(self, x: str, dtype: str, name: str) -> str:
        if self.compute == "float32":
            return self._b.op("Identity", [x], name)
        return self._b.op("Cast", [x], name, to=_TYPES[dtype])
