"""A decoder's door, whatever the backend: every call is checked before anything runs.

It never runs an engine.
"""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod

from omnilive.engine.decoder_checks import ArenaLength, Block, DecoderChecks
from omnilive.engine.interface import F32, I64, KvArena
from omnilive.engine.manifest import EngineInfo


class CheckedDecoder(ABC):
    """``Decoder``, of which a backend only makes arenas and appends checked blocks.

    Attributes:
        name: of the engine.
        checks: what its record lets it be asked.
    """

    def __init__(self, info: EngineInfo) -> None:
        """Read ``info``. Raises EngineError where it records no KV geometry or no width."""
        self.name = info.name
        self.checks = DecoderChecks(info)
        self._arenas: weakref.WeakSet[ArenaLength] = weakref.WeakSet()
        self._adding = threading.Lock()

    @property
    def kv_bytes(self) -> int:
        """See ``Decoder.kv_bytes``."""
        with self._adding:
            reached = sum(arena.reached for arena in self._arenas)
        return reached * self.checks.kv.bytes_per_token()

    def new_arena(self, capacity: int | None = None) -> KvArena:
        """See ``Decoder.new_arena``. Raises EngineError for a capacity out of range."""
        arena = self._arena(self.checks.arena_tokens(capacity))
        with self._adding:
            self._arenas.add(arena)
        return arena

    def hidden(self, arena: KvArena, embeds: F32) -> F32:
        """See ``Decoder.hidden``. Raises EngineError for a block or an arena that does not fit."""
        return self._append(arena, self.checks.hidden_block(embeds))

    def logits(
        self,
        arena: KvArena,
        embeds: F32,
        *,
        rows: I64 | None = None,
        plora_rows: I64 | None = None,
    ) -> F32:
        """See ``Decoder.logits``. Raises EngineError for a block or an arena that does not fit."""
        return self._append(arena, self.checks.logits_block(embeds, rows, plora_rows))

    @abstractmethod
    def _arena(self, tokens: int) -> ArenaLength:
        """An empty arena of ``tokens`` tokens."""

    @abstractmethod
    def _append(self, arena: KvArena, block: Block) -> F32:
        """Append a block; the output of its ``rows``. Raises EngineError for an odd arena."""
