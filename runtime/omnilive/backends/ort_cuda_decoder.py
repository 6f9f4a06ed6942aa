"""Decoders run by onnxruntime on the GPU, their KV in arenas that the graph writes in place.

The host waits where logits are read, and nowhere else. It never interprets tokens.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from omnilive.backends.cuda import DeviceBuffer, Stream
from omnilive.backends.device_array import DeviceArray, dense_bytes
from omnilive.backends.ort_cuda import DEVICE, DEVICE_ID, CudaSession
from omnilive.backends.staging import Values
from omnilive.engine.checked_decoder import CheckedDecoder
from omnilive.engine.decoder_checks import HIDDEN, ArenaLength, Block
from omnilive.engine.interface import F32, KvArena
from omnilive.engine.kv_layout import LAST_POSITION, TOTAL_LENGTH, past_names, present_names
from omnilive.engine.manifest import EngineInfo


class OrtCudaArena(ArenaLength):
    """KV buffers of one sequence on the device, and the binding that runs on them.

    Args:
        decoder: it belongs to.
        capacity: tokens a caller may append.
    """

    def __init__(self, decoder: OrtCudaDecoder, capacity: int) -> None:
        super().__init__(decoder.name, capacity)
        self.binding = decoder.session.session.io_binding()
        self._decoder = decoder
        kv = decoder.checks.kv
        shape = (1, kv.kv_heads, capacity, kv.head_dim)
        dtype = np.dtype(kv.dtype)
        self._buffers = [DeviceBuffer(dense_bytes(shape, dtype)) for _ in range(2 * kv.layers)]
        decoder.session.lane.submit(self._clear)
        names = zip(past_names(kv.layers), present_names(kv.layers), strict=True)
        for (past, present), buffer in zip(names, self._buffers, strict=True):
            place = (DEVICE, DEVICE_ID, dtype.type, shape, buffer.address)
            self.binding.bind_input(past, *place)
            self.binding.bind_output(present, *place)
        # Attention reads this one on the host, when it is given to the stream.
        self.total = np.zeros((), np.int32)
        self.binding.bind_cpu_input(TOTAL_LENGTH, self.total)

    def owned_by(self, decoder: OrtCudaDecoder) -> bool:
        """Whether it was made by ``decoder``, whose geometry it has."""
        return self._decoder is decoder

    def _clear(self, stream: Stream) -> None:
        for buffer in self._buffers:
            stream.clear(buffer)


class OrtCudaDecoder(CheckedDecoder):
    """An LM session; runs on all of its arenas wait for each other.

    Args:
        info: its record.
        session: its loaded and checked graph.
    """

    def __init__(self, info: EngineInfo, session: CudaSession) -> None:
        super().__init__(info)
        self.session = session
        self._logits: DeviceBuffer | None = None

    def _arena(self, tokens: int) -> OrtCudaArena:
        return OrtCudaArena(self, tokens)

    def _append(self, arena: KvArena, block: Block) -> F32:
        """Hidden states lie on the device until they are read; logits are waited for."""
        if not isinstance(arena, OrtCudaArena) or not arena.owned_by(self):
            raise self.checks.error("was given a KV arena of another engine")
        tokens = len(block.embeds)
        with self.session.lane.lock, arena.lock:
            arena.check_room(tokens)
            total = arena.length + tokens
            arena.total[...] = total
            feeds: dict[str, Any] = {
                "inputs_embeds": _batched(block.embeds),
                LAST_POSITION: np.array([total - 1], np.int32),
                **self.checks.row_feeds(block.rows, block.plora_rows),
            }
            run = self._run_hidden if self.checks.output == HIDDEN else self._run_logits
            result = run(arena.binding, feeds, len(block.rows))
            arena.advance(tokens)
        return result

    def _run_hidden(self, binding: Any, feeds: dict[str, Values], rows: int) -> F32:
        binding.bind_output(self.checks.output, DEVICE, DEVICE_ID)
        ticket = self.session.run(binding, feeds)
        # The arena's outputs come first: they were bound first.
        value = binding.get_outputs()[-1]
        return cast("F32", self.session.taken(value, "float32", ticket)[0])

    def _run_logits(self, binding: Any, feeds: dict[str, Values], rows: int) -> F32:
        result: F32 = np.empty((rows, self.checks.output_width), np.float32)
        if self._logits is None or self._logits.nbytes < result.nbytes:
            self._logits = DeviceBuffer(result.nbytes)
        shape = (1, *result.shape)
        address = self._logits.address
        binding.bind_output(self.checks.output, DEVICE, DEVICE_ID, np.float32, shape, address)
        self.session.run(binding, feeds)
        if rows:
            self.session.lane.stream.fetch(address, result)
        return result


def _batched(embeds: Any) -> Any:
    if isinstance(embeds, DeviceArray):
        return embeds.expanded()
    return np.ascontiguousarray(embeds, np.float32)[None]
