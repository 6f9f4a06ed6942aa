"""What a graph family may ask of a dialect: the operators that backends spell differently.

A graph is written once against this interface; `ort_ops` and `tensorrt_ops` answer it. It never
says how an operator is built.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from omnilive_export.graphs.builder import GraphBuilder
from omnilive_export.precision import LinearFormat
from omnilive_export.reading.row_source import RowSource
from omnilive_export.specs import DecoderSpec
from omnilive_export.weights import LinearWeights, NormWeights

QUICK_GELU = "quick_gelu"
GELU = "gelu"
SILU = "silu"
ACTIVATIONS = (QUICK_GELU, GELU)
"""Those an encoder's config.json may name."""

QUICK_GELU_ALPHA = 1.702
"""x * sigmoid(1.702 x): CLIP's approximation of GELU."""


@dataclass
class PloraRows:
    """The rows that get Partial-LoRA in one graph (spec §1.3).

    Attributes:
        rows: name of the int64 [R] input.
        scatter: name of the int64 [1, R, 2] positions of those rows in a [1, S, …] tensor.
        gathered: input value → its gathered rows, so that layers with one input share them.
    """

    rows: str
    scatter: str
    gathered: dict[str, str] = field(default_factory=dict)


class KvArena(Protocol):
    """The KV inputs and outputs of a decoder graph; its inputs are declared when it is made."""

    @property
    def dtype(self) -> str:
        """Of keys and values: ``float32`` or ``float16``."""
        ...

    def attend(self, qkv: str, layer: int, name: str) -> str:
        """Rotate, append and attend: qkv float32 [1, S, q + k + v] → float32 [1, S, q]."""
        ...

    def declare_outputs(self) -> None:
        """Declare the arena's outputs, after the graph's own."""
        ...


class DialectGraph(GraphBuilder, ABC):
    """A graph under construction in one dialect. Values between operators are float32."""

    @abstractmethod
    def pixels(self, name: str, shape: Sequence[int | str]) -> str:
        """Declare a uint8 picture input; returns a value that may be moved, but not computed on."""

    @abstractmethod
    def rms_norm(self, x: str, weight: RowSource, eps: float, name: str) -> str:
        """RMS norm over the last axis."""

    @abstractmethod
    def add_rms_norm(
        self, x: str, delta: str, weight: RowSource, eps: float, name: str
    ) -> tuple[str, str]:
        """RMS norm of x + delta; returns the normed value and the sum."""

    @abstractmethod
    def layer_norm(self, x: str, weights: NormWeights, eps: float, name: str) -> str:
        """Layer norm over the last axis."""

    @abstractmethod
    def add_layer_norm(
        self, x: str, delta: str, weights: NormWeights, eps: float, name: str
    ) -> tuple[str, str]:
        """Layer norm of x + delta; returns the normed value and the sum."""

    @abstractmethod
    def activation(self, x: str, kind: str, name: str) -> str:
        """QUICK_GELU, SILU, or GELU by the error function."""

    @abstractmethod
    def attention(self, qkv: str, heads: int, width: int, bias: LinearWeights, name: str) -> str:
        """Bidirectional attention of packed qkv [N, S, 3 * width] → [N, S, width].

        The bias of ``bias`` is added here, where an operator may do it on the way.
        """

    @abstractmethod
    def matmul(
        self, x: str, weight: RowSource, fmt: LinearFormat, name: str, *, out: str | None = None
    ) -> str:
        """x [..., in] times the transpose of ``weight`` [out, in], without bias.

        ``name`` is the weight's, ``out`` the result's (``name`` with ``.out`` by default).
        """

    @abstractmethod
    def add_to_rows(self, y: str, rows: PloraRows, update: str, out: str) -> str:
        """y [1, S, n] with ``update`` [1, R, n] added to the rows, which are distinct."""

    @abstractmethod
    def kv_arena(self, spec: DecoderSpec) -> KvArena:
        """Declare the KV inputs of a decoder."""


NewGraph = Callable[[str], DialectGraph]
"""Makes an empty graph of some dialect, given the engine's name."""
