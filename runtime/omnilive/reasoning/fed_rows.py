"""What a KV arena was fed, so that the beginning two prompts share is prefilled once.

A row's KV follows from every embedding and Partial-LoRA flag up to it, and from nothing else. So
keeping the rows that both sequences begin with is exact. It never touches the arena.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive.engine.interface import F32, I64

_NO_ROWS = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class _Block:
    """Rows fed at once: embeds float32 [S, H], and which of them got Partial-LoRA, bool [S]."""

    embeds: F32
    plora: npt.NDArray[np.bool_]


class FedRows:
    """The rows of one arena, in order. It holds the blocks it is given, not copies of them.

    A block may be part of a prompt, all of which then stays in memory: ``carry_over`` lets go of
    the prompts before the newest one.
    """

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._length = 0

    @property
    def length(self) -> int:
        """Rows recorded."""
        return self._length

    def append(self, embeds: F32, plora_rows: I64 | None) -> None:
        """Record a block [S, H] with Partial-LoRA at ``plora_rows`` of it; nobody may write it."""
        self._blocks.append(_Block(embeds, _flags(len(embeds), plora_rows)))
        self._length += len(embeds)

    def carry_over(self, embeds: F32, plora_rows: I64, rows: int) -> None:
        """Record the first ``rows`` rows as those of a sequence [S, H] that begins like them.

        It is held from now on, and nothing of what was recorded before.
        """
        self._blocks.clear()
        self._length = rows
        if rows:
            self._blocks.append(_Block(embeds[:rows], _flags(len(embeds), plora_rows)[:rows]))

    def truncate(self, length: int) -> None:
        """Forget the rows from ``length`` on; a longer one changes nothing."""
        while self._length > length:
            block = self._blocks.pop()
            self._length -= len(block.embeds)
            kept = length - self._length
            if kept > 0:
                self._blocks.append(_Block(block.embeds[:kept], block.plora[:kept]))
                self._length = length

    def shared(self, embeds: F32, plora_rows: I64) -> int:
        """How many rows a sequence [S, H] begins with that are recorded in the same place."""
        plora = _flags(len(embeds), plora_rows)
        start = 0
        for block in self._blocks:
            stop = min(start + len(block.embeds), len(embeds))
            rows = stop - start
            same = (block.plora[:rows] == plora[start:stop]) & (
                block.embeds[:rows] == embeds[start:stop]
            ).all(axis=1)
            if not same.all():
                return start + int(np.argmin(same))
            start = stop
        return start


def _flags(rows: int, plora_rows: I64 | None) -> npt.NDArray[np.bool_]:
    flags = np.zeros(rows, np.bool_)
    flags[_NO_ROWS if plora_rows is None else plora_rows] = True
    return flags
