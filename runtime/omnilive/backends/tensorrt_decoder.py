"""A decoder run by TensorRT: blocks through the prefill profile, tokens through the decode one.

Addresses of inputs and outputs are set once, those of an arena when it takes its turn. A decode
step is captured per arena after its first run. It never interprets tokens.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from omnilive.backends.cuda import DeviceBuffer, InputBuffer, Stream
from omnilive.backends.tensorrt_arena import TensorrtArena, kv_names
from omnilive.backends.tensorrt_runtime import Context, LoadedPlan, nbytes
from omnilive.engine.interface import F32, I64, KvArena
from omnilive.engine.manifest import EngineInfo, KvInfo
from omnilive.errors import EngineError

PREFILL, DECODE = 0, 1
"""Indices of the profiles, as the exporter builds them."""

_NO_ROWS = np.zeros(0, np.int64)

Feeds = dict[str, npt.NDArray[Any]]
Buffer = TypeVar("Buffer", bound=DeviceBuffer)


class TensorrtDecoder:
    """An LM engine; runs on all of its arenas wait for each other.

    Args:
        info: its record.
        kv: its KV geometry.
        plan: the loaded engine, of a prefill and a decode profile.
        stream: where it runs.
    """

    def __init__(self, info: EngineInfo, kv: KvInfo, plan: LoadedPlan, stream: Stream) -> None:
        self.name = info.name
        self._kv = kv
        self._plan = plan
        self._stream = stream
        self._lock = threading.Lock()
        self._output = info.outputs[0].name
        self._past = kv_names(kv, "past_key_values")
        self._contexts = (Context(plan, PREFILL, stream), Context(plan, DECODE, stream))
        # Weakly: an arena that its caller drops must give its memory back at once.
        self._bound: list[weakref.ref[TensorrtArena] | None] = [None, None]
        _, self._block, self._width = plan.largest("inputs_embeds", PREFILL)
        self._inputs: dict[str, InputBuffer] = {}
        for name in plan.inputs:
            if name not in self._past:
                size = nbytes(plan.largest(name, PREFILL), plan.dtypes[name])
                self._inputs[name] = self._bind(name, InputBuffer(size))
        self._output_width = _fixed(info, self._output)
        logits = "logit_rows" in self._inputs
        self._most_rows = plan.largest("logit_rows", PREFILL)[0] if logits else self._block
        size = self._most_rows * self._output_width * np.dtype(np.float32).itemsize
        self._result = self._bind(self._output, DeviceBuffer(size))
        row = kv.kv_heads * kv.head_dim * np.dtype(kv.dtype).itemsize
        self._new = [
            self._bind(name, DeviceBuffer(self._block * row)) for name in kv_names(kv, "present")
        ]

    def new_arena(self, capacity: int | None = None) -> KvArena:
        """See ``Decoder.new_arena``. Raises EngineError for a capacity out of range."""
        tokens = self._kv.max_positions if capacity is None else capacity
        if not 1 <= tokens <= self._kv.max_positions:
            most = self._kv.max_positions
            raise self._error(f"has no arena of {tokens} tokens, only 1 to {most}")
        return TensorrtArena(self.name, self._kv, tokens, self._stream)

    def hidden(self, arena: KvArena, embeds: F32) -> F32:
        """See ``Decoder.hidden``."""
        if self._output != "hidden":
            raise self._error("gives logits, not hidden states")
        return self._append(arena, embeds, np.arange(len(embeds)), _NO_ROWS)

    def logits(
        self,
        arena: KvArena,
        embeds: F32,
        *,
        rows: I64 | None = None,
        plora_rows: I64 | None = None,
    ) -> F32:
        """See ``Decoder.logits``. No ``rows`` at all (an empty list) only fills the arena."""
        if self._output != "logits":
            raise self._error("gives hidden states, not logits")
        tokens = len(embeds)
        wanted = np.array([tokens - 1]) if rows is None else self._rows(rows, tokens)
        plora = _NO_ROWS if plora_rows is None else self._rows(plora_rows, tokens)
        if len(plora) and "plora_rows" not in self._inputs:
            raise self._error("has no Partial-LoRA")
        return self._append(arena, embeds, wanted, plora)

    def _append(self, arena: KvArena, embeds: F32, rows: I64, plora: I64) -> F32:
        if not isinstance(arena, TensorrtArena) or arena.owner != self.name:
            raise self._error("was given a KV arena of another engine")
        if embeds.ndim != 2 or embeds.shape[1] != self._width or not len(embeds):
            raise self._error(f"takes embeds [S ≥ 1, {self._width}], not {list(embeds.shape)}")
        found: F32 = np.empty((len(rows), self._output_width), np.float32)
        with self._lock, arena.lock:
            arena.check_room(len(embeds))
            block = self._block if len(rows) <= self._most_rows else self._most_rows
            for first, last in _blocks(len(embeds), block):
                here = (rows >= first) & (rows < last)
                of_block = plora[(plora >= first) & (plora < last)] - first
                values = self._run(arena, embeds[first:last], rows[here] - first, of_block)
                found[here] = values
        return found

    def _run(self, arena: TensorrtArena, embeds: F32, rows: I64, plora: I64) -> F32:
        """One block; returns the output of ``rows``."""
        tokens = len(embeds)
        profile = DECODE if tokens == 1 and not len(plora) else PREFILL
        # A profile of no logits would be one more to build: one row is asked for and not read.
        asked = rows if len(rows) else np.zeros(1, np.int64)
        if profile == DECODE:
            asked = asked[:1]
        feeds: Feeds = {
            "inputs_embeds": embeds[None].astype(np.float32, copy=False),
            "logit_rows": asked,
            "plora_rows": plora,
            "write_position": np.array([arena.length]),
        }
        feeds = {name: values for name, values in feeds.items() if name in self._inputs}
        for name, values in feeds.items():
            self._stream.upload(values, self._inputs[name])
        if profile == DECODE and arena.step is not None:
            self._stream.launch(arena.step)
        else:
            self._enqueue(arena, profile, feeds)
        count = len(asked) if self._output == "logits" else tokens
        result: F32 = np.empty((count, self._output_width), np.float32)
        arena.write(self._new, tokens, self._stream)
        self._stream.download(self._result, result)
        self._stream.synchronize()
        if self._output == "hidden":
            return result[rows]
        return result[: len(rows)] if profile == PREFILL else result[np.zeros(len(rows), int)]

    def _enqueue(self, arena: TensorrtArena, profile: int, feeds: Feeds) -> None:
        context = self._contexts[profile]
        for name, values in feeds.items():
            context.shape(name, values.shape)
        bound = self._bound[profile]
        if bound is None or bound() is not arena:
            for name, buffer in zip(self._past, arena.buffers, strict=True):
                context.shape(name, arena.shape)
                context.bind(name, buffer)
            self._bound[profile] = weakref.ref(arena)
        context.enqueue()
        if profile == DECODE:
            # After a run on the same shapes and addresses nothing is left to set up.
            arena.step = self._stream.capture(context.enqueue)

    def _bind(self, name: str, buffer: Buffer) -> Buffer:
        for context in self._contexts:
            context.bind(name, buffer)
        return buffer

    def _rows(self, rows: I64, tokens: int) -> I64:
        chosen = np.ascontiguousarray(rows, np.int64)
        if chosen.ndim != 1 or (len(chosen) and not (0 <= chosen.min() <= chosen.max() < tokens)):
            raise self._error(f"was asked for rows outside its block of {tokens} tokens")
        return chosen

    def _error(self, what: str) -> EngineError:
        return EngineError(
            what,
            where=f"engine {self.name}",
            mend="Check the caller against omnilive.engine.interface.Decoder.",
        )


def _blocks(tokens: int, most: int) -> Iterator[tuple[int, int]]:
    """(first, last) of each block of at most ``most`` tokens."""
    for first in range(0, tokens, most):
        yield first, min(tokens, first + most)


def _fixed(info: EngineInfo, name: str) -> int:
    for tensor in info.outputs:
        if tensor.name == name and isinstance(tensor.shape[-1], int):
            return tensor.shape[-1]
    raise EngineError(
        f"records no width of {name}", where=f"engine {info.name}", mend="Rebuild the pack."
    )
