"""What a question finds in the prompt: which frames of a world, and what every image token shows.

Clips, thinning and stitching are the runtime's own arithmetic, so that training sees what a
session shows. It draws no picture and knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnilive.memory.config import SegmentationConfig
from omnilive.reasoning.budget import thinned
from omnilive.reasoning.image_tokens import (
    ScaledPicture,
    TileGeometry,
    video_scaled,
)
from omnilive.reasoning.stitch import Layout, layout
from omnilive_micropack.facts import FrameFacts, Seen, frame_facts
from omnilive_micropack.world import World

FRAME_SIZE = (640, 360)
CURRENT_FRAMES = 3
"""Newest frames shown beside the retrieved clips', as a session does by default."""

NOTHING = -1
"""Owner of an image token that shows no thing."""


@dataclass(frozen=True)
class Clip:
    """One clip: its frames were taken at the whole seconds of ``seconds``."""

    seconds: tuple[int, ...]


def clips_until(world: World, at_s: float) -> list[Clip]:
    """Clips of the frames taken once a second until ``at_s``, cut where the picture changes."""
    rule = SegmentationConfig()
    clips: list[list[int]] = []
    for second in range(int(at_s) + 1):
        cut = second and world.scene_at(second) is not world.scene_at(second - 1)
        if not clips or len(clips[-1]) >= rule.clip_max:
            clips.append([])
        elif cut and len(clips[-1]) >= rule.clip_min:
            clips.append([])
        clips[-1].append(second)
    return [Clip(tuple(seconds)) for seconds in clips]


def shown_seconds(clips: Sequence[Clip], retrieved: Sequence[int], most: int) -> tuple[int, ...]:
    """Times of the frames in the prompt: those of the retrieved clips and the newest, thinned."""
    seconds = dict.fromkeys(s for i in retrieved for s in clips[i].seconds)
    seconds.update(dict.fromkeys(clips[-1].seconds[-CURRENT_FRAMES:]))
    offered = tuple(seconds)
    return tuple(offered[i] for i in thinned(len(offered), min(most, len(offered))))


@dataclass(frozen=True)
class Picture:
    """How frames lie in the stitched picture, and its size in tiles."""

    plan: Layout
    scaled: ScaledPicture


def picture_of(frames: int, pixels: int) -> Picture:
    """The picture of so many frames of FRAME_SIZE, as a session makes it."""
    plan = layout([FRAME_SIZE] * frames, pixels)
    size = (plan.width, plan.height)
    return Picture(plan, video_scaled(*size, pixels))


@dataclass(frozen=True, eq=False)
class TokenMap:
    """What the image tokens of the tile map show.

    Attributes:
        owner: int [rows · g, columns · g], index into ``things`` or NOTHING.
        cover: float32, the share of the token that its owner's box covers.
        frame: int, index of the frame shown, or NOTHING.
        things: (frame index, what is seen) of everything in every frame.
        facts: of every frame.
    """

    owner: npt.NDArray[np.int64]
    cover: npt.NDArray[np.float32]
    frame: npt.NDArray[np.int64]
    things: tuple[tuple[int, Seen], ...]
    facts: tuple[FrameFacts, ...]


def token_map(
    world: World, seconds: Sequence[int], picture: Picture, geometry: TileGeometry
) -> TokenMap:
    """What every token of the tile map of the picture of frames at ``seconds`` shows."""
    grid, side = geometry.grid, geometry.pixels / geometry.grid
    rows, columns = picture.scaled.rows * grid, picture.scaled.columns * grid
    owner = np.full((rows, columns), NOTHING)
    best = np.zeros((rows, columns), np.float32)
    frame = np.full((rows, columns), NOTHING)
    facts = tuple(frame_facts(world, float(s)) for s in seconds)
    things: list[tuple[int, Seen]] = []
    scale_x = picture.scaled.width / picture.plan.width
    scale_y = picture.scaled.height / picture.plan.height
    for index, (shown, place) in enumerate(zip(facts, picture.plan.frames, strict=True)):
        left, top = place.left * scale_x / side, place.top * scale_y / side
        width, height = place.width * scale_x / side, place.height * scale_y / side
        inside = _covered(rows, columns, (left, top, left + width, top + height))
        mostly = inside > 0.5
        frame[mostly] = index
        for seen in shown.things:
            box = (
                left + seen.box[0] * width,
                top + seen.box[1] * height,
                left + seen.box[2] * width,
                top + seen.box[3] * height,
            )
            cover = _covered(rows, columns, box) * mostly
            # what is drawn later, such as a held thing, is in front
            nearer = (cover >= best) & (cover > 0)
            owner[nearer] = len(things)
            best[nearer] = cover[nearer]
            things.append((index, seen))
    return TokenMap(owner, best, frame, tuple(things), facts)


def _covered(
    rows: int, columns: int, box: tuple[float, float, float, float]
) -> npt.NDArray[np.float32]:
    """Share of every token of a grid that a box covers; the box is in tokens."""
    left, top, right, bottom = box
    x, y = np.arange(columns), np.arange(rows)
    across = np.clip(np.minimum(x + 1, right) - np.maximum(x, left), 0, 1)
    down = np.clip(np.minimum(y + 1, bottom) - np.maximum(y, top), 0, 1)
    return (down[:, None] * across[None, :]).astype(np.float32)
