"""Chooses the evidence of one answer before anything is run: frames, tiles and memory tokens.

Pure arithmetic on sizes and counts. What it leaves out it leaves out in one stated order and says
why; it never cuts the user's words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from omnilive.errors import TooLongError
from omnilive.reasoning.config import BudgetConfig
from omnilive.reasoning.image_tokens import (
    ScaledPicture,
    TileGeometry,
    image_scaled,
    token_count,
    video_scaled,
)
from omnilive.reasoning.stitch import layout


@dataclass(frozen=True)
class MemoryCounts:
    """What the memory block would cost, tokens.

    Attributes:
        overview: long-term memory with its label; 0 without any.
        clips: short-term memory of each retrieved clip, in the prompt's order.
        related_label: the label before them, paid once any clip is kept.
        ranking: indices into ``clips``, the most related first.
    """

    overview: int = 0
    clips: tuple[int, ...] = ()
    related_label: int = 0
    ranking: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a ranking that is not an order of the clips (a programming error)."""
        if sorted(self.ranking) != list(range(len(self.clips))):
            raise ValueError(f"ranking {self.ranking} does not order {len(self.clips)} clips")


@dataclass(frozen=True)
class VisualBudget:
    """The evidence chosen, and its cost counted before running.

    Attributes:
        frames: indices of the frames to stitch, ascending.
        transform: ``image`` or ``video``; empty without frames.
        hd_num: tile limit of the ``image`` transform that was used, else 0.
        picture: width and height of the stitched picture, pixels.
        scaled: its size after scaling, None without frames.
        tiles: tiles to encode, the global view included.
        visual_tokens, memory_tokens, text_tokens, prompt_tokens: parts and sum.
        overview: whether the long-term memory is kept.
        clips: indices of the clips whose short-term memory is kept, ascending.
        prefill_ms: estimated time of tiles and prefill.
        limited_by: empty when nothing was left out, else what the next richer choice broke most:
            ``tokens`` (a configured token limit), ``context``, ``latency``, or ``frames`` (the
            configured number of frames).
    """

    frames: tuple[int, ...]
    transform: str
    hd_num: int
    picture: tuple[int, int]
    scaled: ScaledPicture | None
    tiles: int
    visual_tokens: int
    memory_tokens: int
    text_tokens: int
    prompt_tokens: int
    overview: bool
    clips: tuple[int, ...]
    prefill_ms: float
    limited_by: str


@dataclass(frozen=True)
class _Picture:
    """One way to show frames."""

    frames: tuple[int, ...] = ()
    transform: str = ""
    hd_num: int = 0
    size: tuple[int, int] = (0, 0)
    scaled: ScaledPicture | None = None
    tiles: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class _Memory:
    """One way to keep memory."""

    overview: bool
    clips: tuple[int, ...]
    tokens: int


def choose_evidence(
    frame_sizes: Sequence[tuple[int, int]],
    memory: MemoryCounts,
    text_tokens: int,
    config: BudgetConfig,
    *,
    geometry: TileGeometry,
    context_tokens: int,
    text_tokens_without_frames: int | None = None,
) -> VisualBudget:
    """The richest evidence that keeps within every limit.

    Choices are tried in this order and the first that fits is taken: fewer tiles per frame (down
    to ``max_frames_per_tile``), then fewer frames (thinned uniformly, the newest kept) down to
    one, then fewer clips of short-term memory (the least related first), then no long-term
    memory; no frame at all only when not even one fits alone.

    Args:
        frame_sizes: (width, height) of the frames on offer, in time order.
        memory: cost of the memory on offer.
        text_tokens: everything else in the prompt.
        config: the limits.
        geometry: tile size and tokens of the reasoner.
        context_tokens: tokens the prompt may take (context minus the longest answer).
        text_tokens_without_frames: the same when no frame is shown; ``text_tokens`` if None.

    Raises:
        TooLongError: the text alone exceeds the context.
    """
    bare_text = text_tokens if text_tokens_without_frames is None else text_tokens_without_frames
    if bare_text > context_tokens:
        raise TooLongError(
            f"a question of {bare_text} prompt tokens exceeds the {context_tokens} there are",
            where="reasoning",
            mend="Ask a shorter question or raise reasoning.context_tokens.",
        )
    limited_by = ""
    for picture, kept in _choices(frame_sizes, memory, config, geometry):
        text = text_tokens if picture.frames else bare_text
        choice = _priced(picture, kept, text, config, limited_by)
        broken = _overshoots(choice, config, context_tokens)
        # Bare text is all there is to ask: only the context can refuse it, and that was checked.
        bare = not (picture.frames or kept.clips or kept.overview)
        if not broken or bare:
            break
        limited_by = max(broken, key=lambda name: broken[name])
    if not choice.limited_by and len(choice.frames) < len(frame_sizes):
        return _priced(picture, kept, text, config, "frames")
    return choice


def thinned(count: int, keep: int) -> tuple[int, ...]:
    """The last index of each of ``keep`` equal parts of range(count): uniform, newest included."""
    return tuple((part + 1) * count // keep - 1 for part in range(keep))


def _choices(
    frame_sizes: Sequence[tuple[int, int]],
    memory: MemoryCounts,
    config: BudgetConfig,
    geometry: TileGeometry,
) -> Iterator[tuple[_Picture, _Memory]]:
    """Every choice in order of preference; the last is no evidence at all."""
    memories = list(_memories(memory))
    # Laid out only as far as choices are tried: the first one usually fits.
    pictures: list[_Picture] = []
    for picture in _pictures(frame_sizes, config, geometry):
        pictures.append(picture)
        yield picture, memories[0]
    for kept in memories[1:]:
        for picture in pictures:
            yield picture, kept
    for kept in memories:
        yield _Picture(), kept


def _memories(memory: MemoryCounts) -> Iterator[_Memory]:
    for count in range(len(memory.clips), -1, -1):
        clips = tuple(sorted(memory.ranking[:count]))
        tokens = memory.overview + sum(memory.clips[i] for i in clips)
        yield _Memory(memory.overview > 0, clips, tokens + (memory.related_label if clips else 0))
    if memory.overview:
        yield _Memory(False, (), 0)


def _pictures(
    frame_sizes: Sequence[tuple[int, int]], config: BudgetConfig, geometry: TileGeometry
) -> Iterator[_Picture]:
    """Ways to show at least one frame, the richest first."""
    for count in range(min(len(frame_sizes), config.max_frames), 0, -1):
        frames = thinned(len(frame_sizes), count)
        plan = layout([frame_sizes[i] for i in frames], geometry.pixels)
        size = (plan.width, plan.height)
        if config.transform == "video":
            scaled = video_scaled(*size, geometry.pixels)
            yield _picture(frames, "video", 0, size, scaled, geometry)
        if config.transform == "image" or count == 1:
            most = config.hd_num if config.transform == "image" else 1
            least_tiles = math.ceil(count / config.max_frames_per_tile)
            seen: set[ScaledPicture] = set()
            for hd_num in range(most, 0, -1):
                scaled = image_scaled(*size, hd_num, geometry.pixels)
                if count > 1 and seen and scaled.rows * scaled.columns < least_tiles:
                    break
                if scaled not in seen:
                    seen.add(scaled)
                    yield _picture(frames, "image", hd_num, size, scaled, geometry)


def _picture(
    frames: tuple[int, ...],
    transform: str,
    hd_num: int,
    size: tuple[int, int],
    scaled: ScaledPicture,
    geometry: TileGeometry,
) -> _Picture:
    tokens = token_count(scaled.rows, scaled.columns, geometry.grid)
    return _Picture(
        frames, transform, hd_num, size, scaled, scaled.rows * scaled.columns + 1, tokens
    )


def _priced(
    picture: _Picture, kept: _Memory, text: int, config: BudgetConfig, limited_by: str
) -> VisualBudget:
    prompt = text + kept.tokens + picture.tokens
    return VisualBudget(
        frames=picture.frames,
        transform=picture.transform,
        hd_num=picture.hd_num,
        picture=picture.size,
        scaled=picture.scaled,
        tiles=picture.tiles,
        visual_tokens=picture.tokens,
        memory_tokens=kept.tokens,
        text_tokens=text,
        prompt_tokens=prompt,
        overview=kept.overview,
        clips=kept.clips,
        prefill_ms=(picture.tiles * config.tile_us + prompt * config.prefill_us_per_token) / 1000,
        limited_by=limited_by,
    )


def _overshoots(choice: VisualBudget, config: BudgetConfig, context: int) -> dict[str, float]:
    """Each limit that ``choice`` breaks → cost over limit."""
    broken = {}
    tokens = _ratio(choice.visual_tokens, config.max_visual_tokens)
    if config.max_prompt_tokens:
        tokens = max(tokens, _ratio(choice.prompt_tokens, config.max_prompt_tokens))
    for name, ratio in (
        ("tokens", tokens),
        ("context", _ratio(choice.prompt_tokens, context)),
        (
            "latency",
            _ratio(choice.prefill_ms, config.max_prefill_ms) if config.max_prefill_ms else 0.0,
        ),
    ):
        if ratio > 1:
            broken[name] = ratio
    return broken


def _ratio(cost: float, limit: float) -> float:
    """Cost over limit; anything over a limit of nothing is infinitely over."""
    return cost / limit if limit else (math.inf if cost else 0.0)
