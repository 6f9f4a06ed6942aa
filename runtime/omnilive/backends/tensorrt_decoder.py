"""A decoder run by TensorRT: blocks through the prefill profile, tokens through the decode one.

Addresses of inputs and outputs are set once, those of an arena when it takes its turn. A decode
step is captured per arena after its first run. The host waits where logits are read, and nowhere
else. It never interprets tokens.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from omnilive.backends.cuda import DeviceBuffer, Stream
from omnilive.backends.cuda_lanes import DeviceLane
from omnilive.backends.device_array import DeviceArray, dense_bytes
from omnilive.backends.output_memory import OutputMemory
from omnilive.backends.staging import EngineInputs, Values, leases_of
from omnilive.backends.tensorrt_arena import TensorrtArena
from omnilive.backends.tensorrt_runtime import Context, LoadedPlan
from omnilive.engine.checked_decoder import CheckedDecoder
from omnilive.engine.decoder_checks import HIDDEN, Block
from omnilive.engine.interface import F32, I64, KvArena
from omnilive.engine.kv_layout import WRITE_POSITION, past_names, present_names
from omnilive.engine.manifest import EngineInfo

PREFILL, DECODE = 0, 1
"""Indices of the profiles, as the exporter builds them."""


class TensorrtDecoder(CheckedDecoder):
    """An LM engine; runs on all of its arenas wait for each other.

    Args:
        info: its record.
        plan: the loaded engine, of a prefill and a decode profile.
        lane: where it runs.
    """

    def __init__(self, info: EngineInfo, plan: LoadedPlan, lane: DeviceLane) -> None:
        super().__init__(info)
        kv = self.checks.kv
        self._lane = lane
        self._past = past_names(kv.layers)
        self._contexts = (Context(plan, PREFILL, lane.stream), Context(plan, DECODE, lane.stream))
        # Weakly: an arena that its caller drops must give its memory back at once.
        self._bound: list[weakref.ref[TensorrtArena] | None] = [None, None]
        _, self._block, _ = plan.largest("inputs_embeds", PREFILL)
        # A captured step reads its inputs where they were when it was captured.
        fixed = {
            name: self._bind(
                name, DeviceBuffer(dense_bytes(plan.largest(name, PREFILL), plan.dtypes[name]))
            )
            for name in plan.inputs
            if name not in self._past
        }
        self._inputs = EngineInputs(lane, fixed)
        logits = "logit_rows" in fixed
        self._most_rows = plan.largest("logit_rows", PREFILL)[0] if logits else self._block
        size = dense_bytes((self._most_rows, self.checks.output_width), np.float32)
        self._result = self._bind(self.checks.output, DeviceBuffer(size))
        self._hidden = OutputMemory()
        row = dense_bytes((kv.kv_heads, kv.head_dim), kv.dtype)
        self._new = [
            self._bind(name, DeviceBuffer(self._block * row)) for name in present_names(kv.layers)
        ]

    def _arena(self, tokens: int) -> TensorrtArena:
        return TensorrtArena(self.name, self.checks.kv, tokens, self._lane)

    def _append(self, arena: KvArena, block: Block) -> F32:
        if not isinstance(arena, TensorrtArena) or arena.owner != self.name:
            raise self.checks.error("was given a KV arena of another engine")
        embeds, rows, plora = block.embeds, block.rows, block.plora_rows
        found = []
        with self._lane.lock, arena.lock:
            arena.check_room(len(embeds))
            most = self._block if len(rows) <= self._most_rows else self._most_rows
            order = []
            for first, last in _blocks(len(embeds), most):
                here = np.flatnonzero((rows >= first) & (rows < last))
                of_block = plora[(plora >= first) & (plora < last)] - first
                if self.checks.output == HIDDEN:
                    found.append(self._run_hidden(arena, embeds[first:last]))
                else:
                    asked = rows[here] - first
                    found.append(self._run_logits(arena, embeds[first:last], asked, of_block))
                order.append(here)
        if self.checks.output == HIDDEN:
            return np.concatenate(found)
        result: F32 = np.empty((len(rows), self.checks.output_width), np.float32)
        result[np.concatenate(order)] = np.concatenate(found)
        return result

    def _run_hidden(self, arena: TensorrtArena, embeds: F32) -> Any:
        """One block; its hidden states, on the device."""
        tokens, width = len(embeds), self.checks.output_width
        none = np.zeros(0, np.int64)
        size = dense_bytes((tokens, width), np.float32)
        buffer, reads = self._hidden.take(size)

        def launch(stream: Stream) -> None:
            self._run(arena, DECODE if tokens == 1 else PREFILL, feeds, stream)
            stream.copy(buffer.address, self._result.address, size)

        feeds = self._feeds(arena, embeds, none, none)
        ticket = self._lane.submit(launch, after=reads.values(), inputs=leases_of(feeds.values()))
        return self._hidden.array(buffer, ticket, (tokens, width), "float32")

    def _run_logits(self, arena: TensorrtArena, embeds: F32, rows: I64, plora: I64) -> F32:
        """One block; the logits of ``rows``, waited for where there are any."""
        profile = DECODE if len(embeds) == 1 and not len(plora) else PREFILL
        # A profile of no logits would be one more to build: one row is asked for and not read.
        asked = rows if len(rows) else np.zeros(1, np.int64)
        if profile == DECODE:
            asked = asked[:1]
        feeds = self._feeds(arena, embeds, asked, plora)
        self._lane.submit(
            lambda stream: self._run(arena, profile, feeds, stream),
            inputs=leases_of(feeds.values()),
        )
        result: F32 = np.empty((len(asked), self.checks.output_width), np.float32)
        if not len(rows):
            return result[:0]
        self._lane.stream.fetch(self._result.address, result)
        return result if profile == PREFILL else result[np.zeros(len(rows), int)]

    def _feeds(self, arena: TensorrtArena, embeds: F32, rows: I64, plora: I64) -> dict[str, Values]:
        whole: Any = embeds
        batched = (
            whole.expanded()
            if isinstance(whole, DeviceArray)
            else embeds[None].astype(np.float32, copy=False)
        )
        return {
            "inputs_embeds": batched,
            **self.checks.row_feeds(rows, plora),
            WRITE_POSITION: np.array([arena.length]),
        }

    def _run(
        self, arena: TensorrtArena, profile: int, feeds: dict[str, Values], stream: Stream
    ) -> None:
        """Give the stream one run on ``feeds``, and the writing of its keys and values."""
        captured = arena.step if profile == DECODE else None
        if captured is None:
            self._set(arena, profile, feeds)
        self._inputs.place(feeds)
        if captured is not None:
            stream.launch(captured)
        else:
            context = self._contexts[profile]
            context.enqueue()
            if profile == DECODE:
                # After a run on the same shapes and addresses nothing is left to set up.
                arena.step = stream.capture(context.enqueue)
        arena.write(self._new, feeds["inputs_embeds"].shape[1], stream)

    def _set(self, arena: TensorrtArena, profile: int, feeds: dict[str, Values]) -> None:
        """Tell a context the shapes of its next run, and where the arena lies."""
        context = self._contexts[profile]
        for name, values in feeds.items():
            context.shape(name, values.shape)
        bound = self._bound[profile]
        if bound is None or bound() is not arena:
            for name, buffer in zip(self._past, arena.buffers, strict=True):
                context.shape(name, arena.shape)
                context.bind(name, buffer.address)
            self._bound[profile] = weakref.ref(arena)

    def _bind(self, name: str, buffer: DeviceBuffer) -> DeviceBuffer:
        for context in self._contexts:
            context.bind(name, buffer.address)
        return buffer


def _blocks(tokens: int, most: int) -> Iterator[tuple[int, int]]:
    """(first, last) of each block of at most ``most`` tokens."""
    for first in range(0, tokens, most):
        yield first, min(tokens, first + most)
