"""Labelled pictures for the towers, drawn as they are needed: the same step, the same batch.

Frames go through the runtime's own resizing, stitching and tiling, so that a tower learns on what
it will see. It knows no network.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from omnilive._native import resize_rgb
from omnilive.reasoning.image_tokens import ScaledPicture, image_scaled, video_scaled
from omnilive.reasoning.stitch import layout, stitch
from omnilive.reasoning.tiles import tiles_of
from omnilive_micropack.dimensions import VisionDims
from omnilive_micropack.facts import FrameFacts, frame_facts
from omnilive_micropack.painting import paint
from omnilive_micropack.seeds import TRAINING_SEEDS
from omnilive_micropack.story import make_world
from omnilive_micropack.training.vision_labels import I64, square_labels, tile_labels
from omnilive_micropack.world import HELD, World

WORLD_SECONDS = 160.0
FRAMES_PER_WORLD = 6
SIZES = ((640, 360), (320, 180), (320, 180), (320, 180))
"""A session's own size and a smaller one, which is drawn faster and has coarser outlines."""

HELD_SHARE = 0.2
"""Of the frames of a world in which somebody holds something: least share that shows it."""

MOST_STITCHED = 8
VIDEO_SHARE = 0.75
IMAGE_TILES = 24
LEAST_FRAME_PIXELS = 50
"""A frame lower than this in the global view shows nothing to learn from."""

U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class VisionBatch:
    """Pictures and what their patches show.

    Attributes:
        images: uint8 [B, P, P, 3].
        labels: int64 [B, patches, len(FIELDS)].
    """

    images: U8
    labels: I64


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """A frame uint8 [h, w, 3] and what it shows."""

    rgb: U8
    facts: FrameFacts


def draw_frames(rng: np.random.Generator, count: int, seeds: range) -> list[LabelledFrame]:
    """``count`` frames of worlds with seeds of ``seeds``, as a camera may deliver them."""
    frames: list[LabelledFrame] = []
    while len(frames) < count:
        world = make_world(int(rng.integers(seeds.start, seeds.stop)), WORLD_SECONDS)
        for _ in range(min(FRAMES_PER_WORLD, count - len(frames))):
            at_s = _moment(rng, world)
            rgb = paint(world, at_s, SIZES[int(rng.integers(len(SIZES)))])
            frames.append(LabelledFrame(disturbed(rng, rgb), frame_facts(world, at_s)))
    return frames


def _moment(rng: np.random.Generator, world: World) -> float:
    """A time of a world; what is held is held for seconds only, so that is looked for."""
    held = [
        (stay.start_s, end)
        for scene in world.scenes
        for thing in scene.things
        for stay, end in thing.spans()
        if stay.place == HELD
    ]
    if held and rng.random() < HELD_SHARE:
        start, end = held[int(rng.integers(len(held)))]
        return float(rng.uniform(start, end))
    return float(rng.integers(int(world.duration_s)))


def disturbed(rng: np.random.Generator, rgb: U8) -> U8:
    """The picture with other light, noise, blur and compression, each of them sometimes."""
    if rng.random() < 0.5:
        levels = np.arange(256) * rng.uniform(0.85, 1.15) + rng.uniform(-12.0, 12.0)
        rgb = np.clip(levels, 0, 255).astype(np.uint8)[rgb]
    if rng.random() < 0.25:
        height, width = rgb.shape[:2]
        noise = rng.standard_normal((height // 2, width // 2, 3), np.float32)
        noise = (noise * rng.uniform(2.0, 10.0)).astype(np.int16)
        rgb = np.clip(rgb + noise.repeat(2, axis=0).repeat(2, axis=1), 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        height, width = rgb.shape[:2]
        part = rng.uniform(0.35, 0.7)
        small = resize_rgb(np.ascontiguousarray(rgb), round(height * part), round(width * part))
        rgb = resize_rgb(small, height, width)
    if rng.random() < 0.35:
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "JPEG", quality=int(rng.integers(35, 91)))
        rgb = np.asarray(Image.open(buffer))
    return np.ascontiguousarray(rgb)


def memory_batch(
    rng: np.random.Generator, dims: VisionDims, size: int, seeds: range = TRAINING_SEEDS
) -> VisionBatch:
    """``size`` frames squashed to the memory tower's square (spec §2.1)."""
    frames = draw_frames(rng, size, seeds)
    grid = dims.pixels // dims.patch
    return VisionBatch(
        np.stack([resize_rgb(f.rgb, dims.pixels, dims.pixels) for f in frames]),
        np.stack([square_labels(f.facts, grid) for f in frames]),
    )


def reasoner_batch(
    rng: np.random.Generator, dims: VisionDims, size: int, seeds: range = TRAINING_SEEDS
) -> VisionBatch:
    """``size`` tiles of stitched pictures of 1 to 8 frames (spec §1.4)."""
    images, labels, count = [], [], 0
    while count < size:
        tiles, found = _stitched(rng, dims, seeds)
        images.append(tiles)
        labels.append(found)
        count += len(tiles)
    return VisionBatch(np.concatenate(images)[:size], np.concatenate(labels)[:size])


def _stitched(rng: np.random.Generator, dims: VisionDims, seeds: range) -> tuple[U8, I64]:
    if rng.random() < VIDEO_SHARE:
        frames = draw_frames(rng, int(rng.integers(1, MOST_STITCHED + 1)), seeds)
        video = True
    else:
        frames = draw_frames(rng, int(rng.integers(1, 3)), seeds)
        video = False
    plan = layout([(f.rgb.shape[1], f.rgb.shape[0]) for f in frames], dims.pixels)
    picture = stitch([f.rgb for f in frames], dims.pixels)
    scaled = (
        video_scaled(plan.width, plan.height, dims.pixels)
        if video
        else image_scaled(plan.width, plan.height, IMAGE_TILES, dims.pixels)
    )
    tiles = tiles_of(picture, scaled, dims.pixels)
    grid = dims.pixels // dims.patch
    labels = tile_labels([f.facts for f in frames], plan, scaled, dims.pixels, grid)
    if _global_height(plan.frames[0].height, plan.height, scaled) < LEAST_FRAME_PIXELS:
        tiles, labels = tiles[1:], labels[1:]
    return tiles, labels


def _global_height(frame: int, picture: int, scaled: ScaledPicture) -> float:
    """Pixels a frame is high in the global view."""
    return frame / picture * scaled.height / scaled.rows
