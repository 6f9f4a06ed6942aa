"""The KV arena of the ``ort`` dialect: one buffer per key and value, written in place.

Rotary positions, the append and the attention are one operator. It never sees a mask: the length
of the arena says what is valid.
"""

from __future__ import annotations

from omnilive.engine.kv_layout import (
    LAST_POSITION,
    PARTS,
    TOTAL_LENGTH,
    past_name,
    past_names,
    present_name,
    present_names,
)
from omnilive_export.graphs.builder import CONTRIB, GraphBuilder
from omnilive_export.graphs.rope import rope_tables
from omnilive_export.specs import DecoderSpec


class OrtArena:
    """The KV inputs and outputs of one graph and the position tables its layers share.

    Inputs: ``seqlens_k`` int32 [1] = tokens in the arena after this block, less one;
    ``total_sequence_length`` int32 [] = tokens in the arena after this block; per layer the key
    and value buffers float32 [1, kv_heads, capacity, head_dim], which are outputs as well.
    """

    dtype = "float32"

    def __init__(self, b: GraphBuilder, spec: DecoderSpec) -> None:
        self._b = b
        self._spec = spec
        self._shape = (1, spec.kv_heads, "capacity", spec.head_dim)
        self._seqlens = b.input(LAST_POSITION, "int32", (1,))
        self._total = b.input(TOTAL_LENGTH, "int32", ())
        for name in past_names(spec.layers):
            b.input(name, self.dtype, self._shape)
        cos, sin = rope_tables(spec.rope, head_dim=spec.head_dim, positions=spec.max_positions)
        self._cos = b.array("rope.cos", cos)
        self._sin = b.array("rope.sin", sin)

    def attend(self, qkv: str, layer: int, name: str) -> str:
        """See ``KvArena.attend``."""
        past = [past_name(layer, part) for part in PARTS]
        present = [present_name(layer, part) for part in PARTS]
        return self._b.op(
            "GroupQueryAttention",
            [qkv, "", "", *past, self._seqlens, self._total, self._cos, self._sin],
            name,
            outputs=[name, *present],
            domain=CONTRIB,
            num_heads=self._spec.heads,
            kv_num_heads=self._spec.kv_heads,
            do_rotary=1,
        )

    def declare_outputs(self) -> None:
        """See ``KvArena.declare_outputs``."""
        for name in present_names(self._spec.layers):
            self._b.output(name, self.dtype, self._shape)
