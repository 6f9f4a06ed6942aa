"""What every decoder checks before it runs, and what every KV arena counts, whatever the backend.

It never runs an engine and holds no keys or values.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32, I64
from omnilive.engine.manifest import EngineInfo, KvInfo, TensorInfo
from omnilive.errors import EngineError

HIDDEN, LOGITS = "hidden", "logits"
"""The two outputs a decoder may have."""

_NO_ROWS = np.zeros(0, np.int64)


class ArenaLength:
    """Capacity and length of one sequence's arena; its buffers are the backend's.

    Attributes:
        owner: name of the decoder it belongs to.
        lock: held by whoever runs on the arena or changes its length.
    """

    def __init__(self, owner: str, capacity: int) -> None:
        """An empty arena of ``capacity`` tokens."""
        self.owner = owner
        self.lock = threading.Lock()
        self._capacity = capacity
        self._length = self._reached = 0

    @property
    def capacity(self) -> int:
        """See ``KvArena.capacity``."""
        return self._capacity

    @property
    def length(self) -> int:
        """See ``KvArena.length``."""
        return self._length

    @property
    def reached(self) -> int:
        """The most tokens it has held: as far as its memory has been written."""
        return self._reached

    def truncate(self, length: int) -> None:
        """See ``KvArena.truncate``."""
        with self.lock:
            if not 0 <= length <= self._length:
                raise EngineError(
                    f"cannot keep {length} tokens of {self._length}",
                    where=f"KV arena of {self.owner}",
                    mend="Truncate to a length the arena has reached.",
                )
            self._length = length

    def check_room(self, tokens: int) -> None:
        """Raises EngineError when ``tokens`` more do not fit."""
        if self._length + tokens > self._capacity:
            raise EngineError(
                f"{self._length} + {tokens} tokens exceed its capacity of {self._capacity}",
                where=f"KV arena of {self.owner}",
                mend="Shorten the prompt or raise the configured context.",
            )

    def advance(self, tokens: int) -> None:
        """Count ``tokens`` tokens that were written."""
        self._length += tokens
        self._reached = max(self._reached, self._length)


@dataclass(frozen=True, eq=False)
class Block:
    """A checked block of tokens to append.

    Attributes:
        embeds: float32 [S, H], S ≥ 1.
        rows: positions whose output is wanted, int64, in [0, S).
        plora_rows: positions with Partial-LoRA, likewise.
    """

    embeds: F32
    rows: I64
    plora_rows: I64

    @property
    def is_step(self) -> bool:
        """Whether it is what decoding appends: one token, its output wanted, no Partial-LoRA."""
        return len(self.embeds) == 1 == len(self.rows) and not len(self.plora_rows)


class DecoderChecks:
    """What a decoder's record lets it be asked.

    Attributes:
        kv: geometry of its arenas.
        width: values of an embedding.
        output: HIDDEN or LOGITS.
        output_width: values per row of it.
    """

    def __init__(self, info: EngineInfo) -> None:
        """Read ``info``. Raises EngineError where it records no KV geometry or no width."""
        self.name = info.name
        self.kv = geometry(info)
        self.width = _width(info, info.inputs, "inputs_embeds")
        self.output = info.outputs[0].name
        self.output_width = _width(info, info.outputs, self.output)
        self._inputs = {tensor.name for tensor in info.inputs}

    def arena_tokens(self, capacity: int | None) -> int:
        """Capacity of a new arena. Raises EngineError for one out of range."""
        most = self.kv.max_positions
        tokens = most if capacity is None else capacity
        if not 1 <= tokens <= most:
            raise self.error(f"has no arena of {tokens} tokens, only 1 to {most}")
        return tokens

    def hidden_block(self, embeds: F32) -> Block:
        """The block of a call of ``Decoder.hidden``. Raises EngineError for an odd one."""
        if self.output != HIDDEN:
            raise self.error("gives logits, not hidden states")
        self._check_embeds(embeds)
        return Block(embeds, np.arange(len(embeds), dtype=np.int64), _NO_ROWS)

    def logits_block(self, embeds: F32, rows: I64 | None, plora_rows: I64 | None) -> Block:
        """The block of a call of ``Decoder.logits``. Raises EngineError for an odd one."""
        if self.output != LOGITS:
            raise self.error("gives hidden states, not logits")
        self._check_embeds(embeds)
        tokens = len(embeds)
        wanted = np.array([tokens - 1], np.int64) if rows is None else self._rows(rows, tokens)
        plora = _NO_ROWS if plora_rows is None else self._rows(plora_rows, tokens)
        if len(plora) and "plora_rows" not in self._inputs:
            raise self.error("has no Partial-LoRA")
        return Block(embeds, wanted, plora)

    def row_feeds(self, rows: I64, plora_rows: I64) -> dict[str, I64]:
        """Those of the row inputs that this graph has."""
        feeds = {"logit_rows": rows, "plora_rows": plora_rows}
        return {name: values for name, values in feeds.items() if name in self._inputs}

    def error(self, what: str) -> EngineError:
        """The error of a caller that asks for what this decoder does not do."""
        return EngineError(
            what,
            where=f"engine {self.name}",
            mend="Check the caller against omnilive.engine.interface.Decoder.",
        )

    def _check_embeds(self, embeds: F32) -> None:
        if embeds.ndim != 2 or embeds.shape[1] != self.width or not len(embeds):
            raise self.error(f"takes embeds [S ≥ 1, {self.width}], not {list(embeds.shape)}")

    def _rows(self, rows: I64, tokens: int) -> I64:
        chosen = np.ascontiguousarray(rows, np.int64)
        if chosen.ndim != 1 or (len(chosen) and not (0 <= chosen.min() <= chosen.max() < tokens)):
            raise self.error(f"was asked for rows outside its block of {tokens} tokens")
        return chosen


def geometry(info: EngineInfo) -> KvInfo:
    """The KV geometry of a decoder. Raises EngineError for an engine without."""
    if info.kv is None:
        raise EngineError(
            "records no KV geometry",
            where=f"engine {info.name}",
            mend="Only decoders take a KV arena; rebuild the pack if this is one.",
        )
    return info.kv


def _width(info: EngineInfo, tensors: tuple[TensorInfo, ...], name: str) -> int:
    for tensor in tensors:
        if tensor.name == name and isinstance(tensor.shape[-1], int):
            return tensor.shape[-1]
    raise EngineError(
        f"records no width of {name}", where=f"engine {info.name}", mend="Rebuild the pack."
    )
