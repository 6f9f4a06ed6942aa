"""How much work memory is, as a closed form of the stream: clip lengths and questions alone.

Arithmetic; it never runs a stage. Written from spec §2.3, §2.4 and §2.9, so that a stage that
does a piece of work twice, or not at all, disagrees with it.

Notation: T_j frames in clip j; text(j, t) words before the tokens of its first t frames; P patch
tokens and S slots per frame; K clips in the window. Compressing t frames takes
C(j, t) = text(j, t) + t·(P + S) + 1 tokens. Integrating it takes S·t + K tokens as long as the
window begins where it did, and S·ΣT + S·t + K, all of it, when it has slid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """What decides how many tokens a clip is.

    Attributes:
        patches: P, patch tokens per frame after mixing.
        slots: S, pooled tokens per frame.
        text_tokens: tokens of the words before a clip, from its start and end in seconds.
        max_clips: M, clips the window may hold.
    """

    patches: int
    slots: int
    text_tokens: Callable[[int, int], int]
    max_clips: int

    def compression(self, start: int, frames: int) -> int:
        """C: tokens to compress ``frames`` frames that begin at ``start`` seconds, one a second."""
        return self.text_tokens(start, start + frames) + frames * (self.patches + self.slots) + 1

    def window_start(self, clip: int) -> int:
        """First clip of the window when ``clip`` is the newest: it slides by a quarter of M."""
        block = max(1, self.max_clips // 4)
        overflow = max(0, clip + 1 - self.max_clips)
        return -(-overflow // block) * block


@dataclass(frozen=True)
class Stream:
    """A stream of one frame a second.

    Attributes:
        lengths: frames of each clip; the last ends with the stream.
        questions: (clip, frames of it seen) of each question, in time order.
    """

    lengths: tuple[int, ...]
    questions: tuple[tuple[int, int], ...] = ()

    @property
    def frames(self) -> int:
        """Frames in all."""
        return sum(self.lengths)

    def looks(self) -> Iterator[tuple[int, int]]:
        """Every (clip, frames) that memory has to be right for, each once: questions and closes."""
        for clip, frames in enumerate(self.lengths):
            seen = sorted({o for j, o in self.questions if j == clip} | {frames})
            yield from ((clip, t) for t in seen)

    def start(self, clip: int) -> int:
        """When a clip begins, seconds."""
        return sum(self.lengths[:clip])


@dataclass(frozen=True)
class MemoryWork:
    """ViT calls and LM tokens that memory takes."""

    vit_calls: int
    compression_tokens: int
    integration_tokens: int

    @property
    def lm_tokens(self) -> int:
        """LM tokens in all."""
        return self.compression_tokens + self.integration_tokens


def incremental_work(stream: Stream, geometry: Geometry) -> MemoryWork:
    """Each piece of work once; each question after the frames it is about, before the next."""
    compression = integration = 0
    window = 0
    for clip, frames in stream.looks():
        compression += geometry.compression(stream.start(clip), frames)
        first = geometry.window_start(clip)
        older = sum(stream.lengths[first:clip]) if first != window else 0
        integration += geometry.slots * (older + frames) + clip + 1 - first
        window = first
    return MemoryWork(stream.frames, compression, integration)


def naive_work(stream: Stream, geometry: Geometry) -> MemoryWork:
    """The open clip and the whole window again with every frame; a question adds nothing."""
    vit = compression = integration = 0
    for clip, length in enumerate(stream.lengths):
        first = geometry.window_start(clip)
        older = sum(stream.lengths[first:clip])
        for frames in range(1, length + 1):
            vit += frames
            compression += geometry.compression(stream.start(clip), frames)
            integration += geometry.slots * (older + frames) + clip + 1 - first
    return MemoryWork(vit, compression, integration)
