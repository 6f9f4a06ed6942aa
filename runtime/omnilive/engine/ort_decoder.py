"""Decoders run by onnxruntime, their KV in arenas that the graph writes in place.

Past and present KV of a layer are one buffer, bound as input and output: appending a block costs
no copy of what is already there. It never interprets tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from omnilive.engine.checked_decoder import CheckedDecoder
from omnilive.engine.decoder_checks import ArenaLength, Block, geometry
from omnilive.engine.interface import F32, KvArena
from omnilive.engine.kv_layout import LAST_POSITION, TOTAL_LENGTH, past_names, present_names
from omnilive.engine.manifest import EngineInfo, KvInfo, TensorInfo
from omnilive.engine.ort_session import run_error

_LAST_OF_ONE = np.zeros(1, np.int64)
_NO_ROWS = np.zeros(0, np.int64)


def kv_inputs(info: EngineInfo) -> list[TensorInfo]:
    """The inputs a decoder graph has beside those in the manifest."""
    kv = geometry(info)
    return [
        *_kv_tensors(past_names(kv.layers), kv),
        TensorInfo(LAST_POSITION, "int32", (1,)),
        TensorInfo(TOTAL_LENGTH, "int32", ()),
    ]


def kv_outputs(info: EngineInfo) -> list[TensorInfo]:
    """The outputs a decoder graph has beside those in the manifest."""
    kv = geometry(info)
    return _kv_tensors(present_names(kv.layers), kv)


def _kv_tensors(names: list[str], kv: KvInfo) -> list[TensorInfo]:
    shape = (1, kv.kv_heads, "capacity", kv.head_dim)
    return [TensorInfo(name, kv.dtype, shape) for name in names]


class OrtArena(ArenaLength):
    """KV buffers of one sequence with the bindings that run on them.

    The buffers come zeroed from the system, so memory is used only as far as tokens reach.
    """

    def __init__(self, decoder: OrtDecoder, capacity: int) -> None:
        """Allocate ``capacity`` tokens; use ``OrtDecoder.new_arena``."""
        super().__init__(decoder.name, capacity)
        self._decoder = decoder
        kv = decoder.checks.kv
        self._buffers = [
            ort.OrtValue.ortvalue_from_numpy(
                np.zeros((1, kv.kv_heads, capacity, kv.head_dim), np.dtype(kv.dtype))
            )
            for _ in range(2 * kv.layers)
        ]
        self._last_position = np.zeros(1, np.int32)
        self._total_length = np.zeros((), np.int32)
        self.step_embeds: F32 = np.zeros((1, 1, decoder.checks.width), np.float32)
        self.step_output: F32 = np.zeros((1, 1, decoder.checks.output_width), np.float32)
        self.step_binding = self._new_binding()
        for name, value in decoder.checks.row_feeds(_LAST_OF_ONE, _NO_ROWS).items():
            self.step_binding.bind_cpu_input(name, value)
        self.step_binding.bind_cpu_input("inputs_embeds", self.step_embeds)
        _bind_output(self.step_binding, decoder.checks.output, self.step_output)
        self.block_binding = self._new_binding()

    def owned_by(self, decoder: OrtDecoder) -> bool:
        """Whether it was made by ``decoder``, whose geometry it has."""
        return self._decoder is decoder

    def place(self, tokens: int) -> None:
        """Tell the graph where the next ``tokens`` tokens go. Raises EngineError on overflow."""
        self.check_room(tokens)
        total = self.length + tokens
        self._last_position[0] = total - 1
        self._total_length[...] = total

    def _new_binding(self) -> Any:
        """A binding with the KV in place and the position inputs, which change by value only."""
        binding = self._decoder.session.io_binding()
        layers = self._decoder.checks.kv.layers
        names = zip(past_names(layers), present_names(layers), strict=True)
        for (past, present), buffer in zip(names, self._buffers, strict=True):
            binding.bind_ortvalue_input(past, buffer)
            binding.bind_ortvalue_output(present, buffer)
        binding.bind_cpu_input(LAST_POSITION, self._last_position)
        binding.bind_cpu_input(TOTAL_LENGTH, self._total_length)
        return binding


class OrtDecoder(CheckedDecoder):
    """An LM session; different arenas may be run from different threads at once."""

    def __init__(self, info: EngineInfo, session: ort.InferenceSession) -> None:
        """Wrap a loaded and checked session."""
        super().__init__(info)
        self.session = session

    def _arena(self, tokens: int) -> OrtArena:
        return OrtArena(self, tokens)

    def _append(self, arena: KvArena, block: Block) -> F32:
        if not isinstance(arena, OrtArena) or not arena.owned_by(self):
            raise self.checks.error("was given a KV arena of another engine")
        tokens = len(block.embeds)
        with arena.lock:
            arena.place(tokens)
            if block.is_step:
                arena.step_embeds[0] = block.embeds
                self._run(arena.step_binding)
                result: F32 = arena.step_output[0].copy()
            else:
                result = self._run_block(arena, block)
            arena.advance(tokens)
        return result

    def _run_block(self, arena: OrtArena, block: Block) -> F32:
        binding = arena.block_binding
        embeds = np.ascontiguousarray(block.embeds, np.float32)[None]
        result: F32 = np.empty((1, len(block.rows), self.checks.output_width), np.float32)
        binding.bind_cpu_input("inputs_embeds", embeds)
        for name, value in self.checks.row_feeds(block.rows, block.plora_rows).items():
            binding.bind_cpu_input(name, value)
        _bind_output(binding, self.checks.output, result)
        self._run(binding)
        rows_out: F32 = result[0]
        return rows_out

    def _run(self, binding: Any) -> None:
        try:
            self.session.run_with_iobinding(binding)
        except Exception as e:
            raise run_error(self.name, e) from e


def _bind_output(binding: Any, name: str, array: npt.NDArray[np.float32]) -> None:
    binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
