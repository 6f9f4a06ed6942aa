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
from omnilive.backends.tensorrt_arena import TensorrtArena
from omnilive.backends.tensorrt_runtime import Context, LoadedPlan, nbytes
from omnilive.engine.decoder_checks import HIDDEN, LOGITS, Block, DecoderChecks
from omnilive.engine.interface import F32, I64, KvArena
from omnilive.engine.kv_layout import WRITE_POSITION, past_names, present_names
from omnilive.engine.manifest import EngineInfo

PREFILL, DECODE = 0, 1
"""Indices of the profiles, as the exporter builds them."""

Feeds = dict[str, npt.NDArray[Any]]
Buffer = TypeVar("Buffer", bound=DeviceBuffer)


class TensorrtDecoder:
    """An LM engine; runs on all of its arenas wait for each other.

    Args:
        info: its record.
        plan: the loaded engine, of a prefill and a decode profile.
        stream: where it runs.
    """

    def __init__(self, info: EngineInfo, plan: LoadedPlan, stream: Stream) -> None:
        self.name = info.name
        self._checks = DecoderChecks(info)
        kv = self._checks.kv
        self._plan = plan
        self._stream = stream
        self._lock = threading.Lock()
        self._past = past_names(kv.layers)
        self._contexts = (Context(plan, PREFILL, stream), Context(plan, DECODE, stream))
        # Weakly: an arena that its caller drops must give its memory back at once.
        self._bound: list[weakref.ref[TensorrtArena] | None] = [None, None]
        _, self._block, _ = plan.largest("inputs_embeds", PREFILL)
        self._inputs: dict[str, InputBuffer] = {}
        for name in plan.inputs:
            if name not in self._past:
                size = nbytes(plan.largest(name, PREFILL), plan.dtypes[name])
                self._inputs[name] = self._bind(name, InputBuffer(size))
        logits = "logit_rows" in self._inputs
        self._most_rows = plan.largest("logit_rows", PREFILL)[0] if logits else self._block
        size = self._most_rows * self._checks.output_width * np.dtype(np.float32).itemsize
        self._result = self._bind(self._checks.output, DeviceBuffer(size))
        row = kv.kv_heads * kv.head_dim * np.dtype(kv.dtype).itemsize
        self._new = [
            self._bind(name, DeviceBuffer(self._block * row)) for name in present_names(kv.layers)
        ]

    def new_arena(self, capacity: int | None = None) -> KvArena:
        """See ``Decoder.new_arena``. Raises EngineError for a capacity out of range."""
        tokens = self._checks.arena_tokens(capacity)
        return TensorrtArena(self.name, self._checks.kv, tokens, self._stream)

    def hidden(self, arena: KvArena, embeds: F32) -> F32:
        """See ``Decoder.hidden``."""
        return self._append(arena, self._checks.hidden_block(embeds))

    def logits(
        self,
        arena: KvArena,
        embeds: F32,
        *,
        rows: I64 | None = None,
        plora_rows: I64 | None = None,
    ) -> F32:
        """See ``Decoder.logits``. No ``rows`` at all (an empty list) only fills the arena."""
        return self._append(arena, self._checks.logits_block(embeds, rows, plora_rows))

    def _append(self, arena: KvArena, block: Block) -> F32:
        if not isinstance(arena, TensorrtArena) or arena.owner != self.name:
            raise self._checks.error("was given a KV arena of another engine")
        embeds, rows, plora = block.embeds, block.rows, block.plora_rows
        found: F32 = np.empty((len(rows), self._checks.output_width), np.float32)
        with self._lock, arena.lock:
            arena.check_room(len(embeds))
            most = self._block if len(rows) <= self._most_rows else self._most_rows
            for first, last in _blocks(len(embeds), most):
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
            **self._checks.row_feeds(asked, plora),
            WRITE_POSITION: np.array([arena.length]),
        }
        for name, values in feeds.items():
            self._stream.upload(values, self._inputs[name])
        if profile == DECODE and arena.step is not None:
            self._stream.launch(arena.step)
        else:
            self._enqueue(arena, profile, feeds)
        count = len(asked) if self._checks.output == LOGITS else tokens
        result: F32 = np.empty((count, self._checks.output_width), np.float32)
        arena.write(self._new, tokens, self._stream)
        self._stream.download(self._result, result)
        self._stream.synchronize()
        if self._checks.output == HIDDEN:
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


def _blocks(tokens: int, most: int) -> Iterator[tuple[int, int]]:
    """(first, last) of each block of at most ``most`` tokens."""
    for first in range(0, tokens, most):
        yield first, min(tokens, first + most)
