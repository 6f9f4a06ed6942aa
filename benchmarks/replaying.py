"""What a run asks of its decoders, noted down, and asked again of the decoders of other packs.

The other packs get the same embeddings in the same order (teacher forcing), so their answers
differ only by what their own decoders do. It never judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from omnilive.engine.config import EngineConfig
from omnilive.engine.interface import F32, I64, Decoder, KvArena
from omnilive.engine.pack import EnginePack


@dataclass(frozen=True)
class NewArena:
    """An arena was made."""

    arena: int
    capacity: int


@dataclass(frozen=True)
class Truncate:
    """An arena was cut to ``length`` tokens."""

    arena: int
    length: int


@dataclass(frozen=True, eq=False)
class Append:
    """A block was appended; ``rows`` is None where hidden states were asked for."""

    arena: int
    embeds: F32
    rows: I64 | None
    plora_rows: I64 | None


Call: TypeAlias = NewArena | Truncate | Append


class RecordingPack(EnginePack):
    """A pack that notes what is asked of its decoders.

    Attributes:
        calls: engine → what was asked of it, in order.
    """

    def __init__(self, pack: EnginePack) -> None:
        """Take note of the decoders of an open pack; its other parts are opened again."""
        super().__init__(pack.path, pack.manifest, EngineConfig(), pack.calibration)
        self.calls: dict[str, list[Call]] = {}

    def decoder(self, name: str) -> Decoder:
        """See ``EnginePack.decoder``."""
        inner = super().decoder(name)
        return _RecordingDecoder(inner, self.calls.setdefault(name, []))


@dataclass
class _RecordingArena:
    inner: KvArena
    index: int
    calls: list[Call] = field(repr=False)

    @property
    def capacity(self) -> int:
        """See ``KvArena.capacity``."""
        return self.inner.capacity

    @property
    def length(self) -> int:
        """See ``KvArena.length``."""
        return self.inner.length

    def truncate(self, length: int) -> None:
        """See ``KvArena.truncate``."""
        self.inner.truncate(length)
        self.calls.append(Truncate(self.index, length))


class _RecordingDecoder:
    def __init__(self, inner: Decoder, calls: list[Call]) -> None:
        self._inner = inner
        self._calls = calls

    def new_arena(self, capacity: int | None = None) -> KvArena:
        """See ``Decoder.new_arena``."""
        arena = self._inner.new_arena(capacity)
        index = sum(isinstance(call, NewArena) for call in self._calls)
        self._calls.append(NewArena(index, arena.capacity))
        return _RecordingArena(arena, index, self._calls)

    def hidden(self, arena: KvArena, embeds: F32) -> F32:
        """See ``Decoder.hidden``."""
        assert isinstance(arena, _RecordingArena)
        self._calls.append(Append(arena.index, embeds.copy(), None, None))
        return self._inner.hidden(arena.inner, embeds)

    def logits(
        self,
        arena: KvArena,
        embeds: F32,
        *,
        rows: I64 | None = None,
        plora_rows: I64 | None = None,
    ) -> F32:
        """See ``Decoder.logits``."""
        assert isinstance(arena, _RecordingArena)
        wanted = np.array([len(embeds) - 1]) if rows is None else np.array(rows, np.int64)
        self._calls.append(Append(arena.index, embeds.copy(), wanted, plora_rows))
        return self._inner.logits(arena.inner, embeds, rows=rows, plora_rows=plora_rows)


def replay(decoder: Decoder, calls: Sequence[Call]) -> F32:
    """Every output row that ``calls`` ask for, in order: logits [n, V] or hidden states [n, H]."""
    arenas: dict[int, KvArena] = {}
    found: list[F32] = []
    for call in calls:
        if isinstance(call, NewArena):
            arenas[call.arena] = decoder.new_arena(call.capacity)
        elif isinstance(call, Truncate):
            arenas[call.arena].truncate(call.length)
        elif call.rows is None:
            found.append(decoder.hidden(arenas[call.arena], call.embeds))
        else:
            arena = arenas[call.arena]
            found.append(
                decoder.logits(arena, call.embeds, rows=call.rows, plora_rows=call.plora_rows)
            )
    return np.concatenate(found)
