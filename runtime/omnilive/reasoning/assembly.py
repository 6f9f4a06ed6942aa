"""A prompt in the making: its tiles are encoded a few at a time.

A cancel lands between two steps; nothing here decides what a prompt holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from omnilive.engine.interface import F32, I64
from omnilive.errors import EngineError
from omnilive.reasoning.image_tokens import ScaledPicture, arrange
from omnilive.reasoning.stitch import U8


@dataclass(frozen=True)
class PromptCounts:
    """Tokens of a prompt: words, memory block (labels included), image; and tiles encoded."""

    text: int
    memory: int
    visual: int
    tiles: int

    @property
    def total(self) -> int:
        """Tokens to prefill."""
        return self.text + self.memory + self.visual


@dataclass(frozen=True, eq=False)
class Prompt:
    """What the reasoner prefills.

    Attributes:
        embeds: float32 [S, H].
        plora_rows: int64 [R], ascending positions that get Partial-LoRA (memory block and image).
        counts: what they are made of.
    """

    embeds: F32
    plora_rows: I64
    counts: PromptCounts


@dataclass(frozen=True, eq=False)
class Picture:
    """Tiles uint8 [n, P, P, 3] of a picture scaled to ``scaled``, the global view first."""

    tiles: U8
    scaled: ScaledPicture


class PromptAssembly:
    """One prompt on its way from parts to embeddings. Not for several threads."""

    def __init__(
        self,
        *,
        head: F32,
        memory: Sequence[F32],
        picture: Picture | None,
        tail: F32,
        counts: PromptCounts,
        encode_tiles: Callable[[U8], F32],
        separators: F32,
        tiles_per_step: int,
    ) -> None:
        """Take the parts in prompt order; use ``PromptBuilder.begin``."""
        self.counts = counts
        self._head = head
        self._memory = list(memory)
        self._picture = picture
        self._tail = tail
        self._encode_tiles = encode_tiles
        self._separators = separators
        self._tiles_per_step = tiles_per_step
        self._encoded: list[F32] = []
        self._tiles_done = 0

    def step(self) -> bool:
        """Encode the next tiles; True when none are left."""
        if self._picture is None:
            return True
        tiles = self._picture.tiles
        if self._tiles_done < len(tiles):
            stop = min(self._tiles_done + self._tiles_per_step, len(tiles))
            self._encoded.append(self._encode_tiles(tiles[self._tiles_done : stop]))
            self._tiles_done = stop
        return self._tiles_done == len(tiles)

    def prompt(self) -> Prompt:
        """The finished prompt. Raises EngineError while tiles are left."""
        evidence = [*self._memory, *self._image()]
        start = len(self._head)
        return Prompt(
            np.concatenate([self._head, *evidence, self._tail]),
            np.arange(start, start + sum(map(len, evidence)), dtype=np.int64),
            self.counts,
        )

    def _image(self) -> list[F32]:
        if self._picture is None:
            return []
        left = len(self._picture.tiles) - self._tiles_done
        if left:
            raise EngineError(
                f"{left} tiles are not encoded yet",
                where="prompt",
                mend="Step the assembly until it is done.",
            )
        scaled = self._picture.scaled
        embeds = np.concatenate(self._encoded)
        return [arrange(embeds, self._separators, scaled.rows, scaled.columns)]
