"""The KV arena of the ``tensorrt`` dialect: the past goes in, only the block's own KV comes out.

Rotary positions, grouped attention and its mask are spelled out in standard operators, as the
versions before 10.14 need them. It never copies the past: the runtime writes the new keys and
values into the arena beside the graph.
"""

from __future__ import annotations

import math

import numpy as np

from omnilive.engine.kv_layout import (
    WRITE_POSITION,
    past_name,
    past_names,
    present_name,
    present_names,
)
from omnilive_export.graphs.builder import GraphBuilder
from omnilive_export.graphs.casts import Casts
from omnilive_export.graphs.rope import rope_tables
from omnilive_export.specs import DecoderSpec

MASKED = -3e4
"""What is added to a masked score: far below any score, and finite in float16."""


class TensorrtArena:
    """The KV inputs and outputs of one graph, and what its layers share.

    Inputs: ``write_position`` int64 [1]; per layer the key and value buffers
    [1, kv_heads, capacity, head_dim], of which the first ``write_position`` tokens count and all
    must be finite. Outputs: per layer keys and values [1, kv_heads, sequence, head_dim] of the
    block, keys already rotated.

    Scores over the past and over the block are joined, not keys and values: joining those would
    copy the arena once per layer and step.
    """

    def __init__(self, b: GraphBuilder, casts: Casts, spec: DecoderSpec) -> None:
        self._b = b
        self._casts = casts
        self._spec = spec
        self.dtype = casts.compute
        self._position = b.input(WRITE_POSITION, "int64", (1,))
        for name in past_names(spec.layers):
            b.input(name, self.dtype, (1, spec.kv_heads, "capacity", spec.head_dim))
        self._zero = b.ints("zero", [0])
        self._last_axis = b.ints("last.axis", [-1])
        self._group_axis = b.ints("group.axis", [2])
        self._end = b.ints("end", [np.iinfo(np.int64).max])
        self._capacity = b.op("Shape", [past_name(0, "key")], "capacity", start=2, end=3)
        block = self._range(b.op("Shape", ["inputs_embeds"], "sequence", start=1, end=2), "block")
        self._cos, self._sin = self._rotation(block)
        self._past_mask, self._block_mask = self._masks(block)

    def attend(self, qkv: str, layer: int, name: str) -> str:
        """See ``KvArena.attend``."""
        b, s = self._b, self._spec
        parts = [f"{name}.{part}" for part in ("q", "k", "v")]
        widths = [s.q_width, s.kv_width, s.kv_width]
        b.op("Split", [qkv, b.ints("qkv.widths", widths)], name, outputs=parts, axis=2)
        query = self._rotated(self._heads(parts[0], s.heads), parts[0])
        scale = b.scalar("attention.scale", 1.0 / math.sqrt(s.head_dim))
        query = self._casts.narrow(b.op("Mul", [query, scale], f"{parts[0]}.scaled"))
        key = self._rotated(self._heads(parts[1], s.kv_heads), parts[1])
        key = self._casts.narrow(key, present_name(layer, "key"))
        value = self._heads(parts[2], s.kv_heads)
        value = self._casts.narrow(value, present_name(layer, "value"))
        shape = [0, s.kv_heads, s.heads // s.kv_heads, -1, s.head_dim]
        grouped = b.op("Reshape", [query, b.ints("grouped", shape)], f"{name}.grouped")
        mixed = self._mixed(grouped, layer, (key, value), name)
        shape = [0, s.heads, -1, s.head_dim]
        heads = b.op("Reshape", [mixed, b.ints("ungrouped", shape)], f"{name}.heads")
        moved = b.op("Transpose", [heads], f"{name}.moved", perm=[0, 2, 1, 3])
        rows = b.op("Reshape", [moved, b.ints("joined.heads", [0, 0, s.q_width])], f"{name}.rows")
        return self._casts.widen(rows, name)

    def declare_outputs(self) -> None:
        """See ``KvArena.declare_outputs``."""
        shape = (1, self._spec.kv_heads, "sequence", self._spec.head_dim)
        for name in present_names(self._spec.layers):
            self._b.output(name, self.dtype, shape)

    def _range(self, length: str, name: str) -> str:
        """The integers from 0 as int64 [length]."""
        b = self._b
        stop = b.op("Squeeze", [length, self._zero], f"{name}.stop")
        zero = b.constant("range.start", np.array(0, dtype=np.int64))
        one = b.constant("range.step", np.array(1, dtype=np.int64))
        return b.op("Range", [zero, stop, one], f"{name}.range")

    def _rotation(self, block: str) -> tuple[str, str]:
        """Cosines and sines of the block's positions, float32 [sequence, head_dim / 2]."""
        b, s = self._b, self._spec
        positions = b.op("Add", [block, self._position], "positions")
        tables = rope_tables(s.rope, head_dim=s.head_dim, positions=s.max_positions)
        cos, sin = b.array("rope.cos", tables[0]), b.array("rope.sin", tables[1])
        return (
            b.op("Gather", [cos, positions], "rope.cos.block", axis=0),
            b.op("Gather", [sin, positions], "rope.sin.block", axis=0),
        )

    def _masks(self, block: str) -> tuple[str, str]:
        """What is added to scores: over the past [capacity], over the block [S, S] (causal)."""
        b = self._b
        past = self._range(self._capacity, "past")
        held = b.op("Less", [past, self._position], "past.held")
        column = b.op("Unsqueeze", [block, b.ints("row.axis", [1])], "block.rows")
        seen = b.op("LessOrEqual", [block, column], "block.seen")
        zero = b.constant("unmasked", np.array(0, dtype=self.dtype))
        masked = b.constant("masked", np.array(MASKED, dtype=self.dtype))
        return (
            b.op("Where", [held, zero, masked], "past.mask"),
            b.op("Where", [seen, zero, masked], "block.mask"),
        )

    def _heads(self, packed: str, heads: int) -> str:
        """[1, S, heads * head_dim] → [1, heads, S, head_dim]."""
        b, d = self._b, self._spec.head_dim
        cut = b.op("Reshape", [packed, b.ints(f"cut.{heads}", [0, 0, heads, d])], f"{packed}.cut")
        return b.op("Transpose", [cut], f"{packed}.heads", perm=[0, 2, 1, 3])

    def _rotated(self, x: str, name: str) -> str:
        """Rotary positions of the half-split form on [1, heads, S, head_dim]."""
        b, half = self._b, self._spec.head_dim // 2
        low, high = f"{name}.low", f"{name}.high"
        b.op("Split", [x, b.ints("halves", [half, half])], name, outputs=[low, high], axis=-1)
        turned = [
            b.op(
                kind,
                [
                    b.op("Mul", [part, self._cos], f"{part}.cos"),
                    b.op("Mul", [other, self._sin], f"{part}.sin"),
                ],
                f"{part}.turned",
            )
            for kind, part, other in (("Sub", low, high), ("Add", high, low))
        ]
        return b.op("Concat", turned, f"{name}.rotated", axis=-1)

    def _mixed(self, query: str, layer: int, block: tuple[str, str], name: str) -> str:
        """Softmax attention over past and block: [1, kv_heads, group, S, head_dim]."""
        b = self._b
        past = past_name(layer, "key"), past_name(layer, "value")
        scores = [
            self._scores(query, past[0], self._past_mask, f"{name}.past"),
            self._scores(query, block[0], self._block_mask, f"{name}.block"),
        ]
        joined = b.op("Concat", scores, f"{name}.scores", axis=-1)
        weights = b.op("Softmax", [joined], f"{name}.weights", axis=-1)
        over = [
            b.op("Slice", [weights, start, stop, self._last_axis], f"{name}.weights.{part}")
            for part, start, stop in (
                ("past", self._zero, self._capacity),
                ("block", self._capacity, self._end),
            )
        ]
        sums = [
            b.op("MatMul", [share, self._grouped(value)], f"{share}.sum")
            for share, value in zip(over, (past[1], block[1]), strict=True)
        ]
        return b.op("Add", sums, f"{name}.mixed")

    def _scores(self, query: str, key: str, mask: str, name: str) -> str:
        b = self._b
        turned = b.op("Transpose", [self._grouped(key)], f"{key}.turned", perm=[0, 1, 2, 4, 3])
        product = b.op("MatMul", [query, turned], f"{name}.product")
        return b.op("Add", [product, mask], f"{name}.scores")

    def _grouped(self, x: str) -> str:
        """[1, kv_heads, T, head_dim] → [1, kv_heads, 1, T, head_dim], shared by a group."""
        return self._b.op("Unsqueeze", [x, self._group_axis], f"{x}.grouped")
