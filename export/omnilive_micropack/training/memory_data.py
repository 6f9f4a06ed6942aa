"""Worlds as the memory meets them: frames through the tower, cut into clips by the runtime's rule.

Worlds are drawn and encoded as they are needed, a few are kept at a time. The same step sees the
same worlds, whether or not training was stopped before it. It trains nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from omnilive._native import resize_rgb
from omnilive.memory.compressor import whole_seconds
from omnilive.memory.config import CompressionConfig, SegmentationConfig
from omnilive.memory.segmentation import Segmenter
from omnilive.sources.types import US_PER_SECOND
from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.facts import frame_facts
from omnilive_micropack.painting import paint
from omnilive_micropack.seeds import TRAINING_SEEDS, generator
from omnilive_micropack.story import make_world
from omnilive_micropack.training.memory_labels import PRESENT, Bits, patch_pairs, quadrant_bits
from omnilive_micropack.training.towers import ClipTower, autocast, mix_2x2
from omnilive_micropack.training.vision_data import disturbed
from omnilive_micropack.vocabulary import ROOMS
from omnilive_micropack.world import World

CUT_COSINE = 0.5
"""Between class tokens of one room, which training puts near 1, and of two, near 0."""

FRAMES_AT_ONCE = 64
DISTURBED_SHARE = 0.4
WORLD_SECONDS = (300, 1000)
SCENE_SECONDS = ((8.0, 40.0), (5.0, 18.0))
"""Shortest and longest scene: as in the streams that are scored, or with more cuts."""

GLIMPSED_SECONDS = 700.0

Bools = npt.NDArray[np.bool_]

SMALL, LARGE = (320, 180), (640, 360)
LARGE_SHARE = 0.25
"""Of the worlds: those drawn at a session's own size, which takes longer."""


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """One clip of an encoded world.

    Attributes:
        start_s, end_s: stream seconds of its first frame and of one second after its last.
        features: bfloat16 [T, g², 4C].
        bits: labels [T, slots, kinds, ATTRIBUTES + 1] of its frames.
        pairs: kinds in their colours by patch, see ``memory_labels.patch_pairs``: [T, g², kinds].
        room: index of its room.
    """

    start_s: int
    end_s: int
    features: Tensor
    bits: Bits
    pairs: Bits
    room: int

    def until(self, at_s: float) -> EncodedClip:
        """The clip as it is open at ``at_s``; its first frame at least."""
        frames = max(1, min(len(self.features), int(at_s) - self.start_s + 1))
        return replace(self.of(np.arange(frames)), end_s=self.start_s + frames)

    def only(self, frame: int) -> EncodedClip:
        """One of its frames as a clip of its own."""
        start_s = self.start_s + frame
        return replace(self.of(np.array([frame])), start_s=start_s, end_s=start_s + 1)

    def of(self, frames: npt.NDArray[np.int64]) -> EncodedClip:
        """The clip with just these of its frames."""
        return replace(
            self,
            features=self.features[torch.from_numpy(frames)],
            bits=self.bits[frames],
            pairs=self.pairs[frames],
        )

    def thinned(self, most: int) -> EncodedClip:
        """The clip with at most ``most`` of its frames, evenly spread."""
        count = len(self.features)
        if count <= most:
            return self
        return self.of(np.array([(2 * i + 1) * count // (2 * most) for i in range(most)]))

    @property
    def kinds(self) -> Bools:
        """Which kinds are seen in it: bool [kinds]."""
        seen: Bools = self.bits[..., PRESENT].max(axis=(0, 1)) > 0
        return seen


@dataclass(frozen=True, eq=False)
class EncodedWorld:
    """A world and its clips, in order of time."""

    world: World
    clips: tuple[EncodedClip, ...]


def encode_world(
    tower: ClipTower, dims: FamilyDims, world: World, rng: np.random.Generator
) -> EncodedWorld:
    """Paint a world once a second, encode it, and cut it into clips."""
    size = LARGE if rng.random() < LARGE_SHARE else SMALL
    pixels = dims.memory_tower.pixels
    features, cls = [], []
    times = range(int(world.duration_s))
    for start in range(0, len(times), FRAMES_AT_ONCE):
        frames = []
        for at_s in times[start : start + FRAMES_AT_ONCE]:
            rgb = paint(world, float(at_s), size)
            rgb = disturbed(rng, rgb) if rng.random() < DISTURBED_SHARE else rgb
            frames.append(resize_rgb(np.ascontiguousarray(rgb), pixels, pixels))
        with torch.no_grad(), autocast():
            states = tower(torch.from_numpy(np.stack(frames)))[dims.select_layer]
        features.append(mix_2x2(states[:, 1:]).to(torch.bfloat16))
        cls.append(states[:, 0].float())
    clips = _cut(world, torch.cat(features), torch.cat(cls), dims)
    return EncodedWorld(world, clips)


def encode_glimpses(
    tower: ClipTower, dims: FamilyDims, world: World, rng: np.random.Generator
) -> EncodedWorld:
    """One frame of every scene, as a clip of its own: many scenes for the price of a short one."""
    pixels, side = dims.memory_tower.pixels, round(dims.slots**0.5)
    patches = round(dims.memory_tower.mixed_tokens**0.5)
    times = [int(rng.integers(int(s.start_s), int(s.end_s))) for s in world.scenes]
    frames = []
    for at_s in times:
        rgb = paint(world, float(at_s), SMALL)
        rgb = disturbed(rng, rgb) if rng.random() < DISTURBED_SHARE else rgb
        frames.append(resize_rgb(np.ascontiguousarray(rgb), pixels, pixels))
    with torch.no_grad(), autocast():
        states = tower(torch.from_numpy(np.stack(frames)))[dims.select_layer]
    features = mix_2x2(states[:, 1:]).to(torch.bfloat16)
    facts = [frame_facts(world, float(at_s)) for at_s in times]
    clips = tuple(
        EncodedClip(
            at_s,
            at_s + 1,
            features[i : i + 1],
            quadrant_bits(facts[i], side)[None],
            patch_pairs(facts[i], patches)[None],
            ROOMS.index(facts[i].room),
        )
        for i, at_s in enumerate(times)
    )
    return EncodedWorld(world, clips)


def _cut(world: World, features: Tensor, cls: Tensor, dims: FamilyDims) -> tuple[EncodedClip, ...]:
    segmenter = Segmenter(SegmentationConfig(), CUT_COSINE)
    starts = [0]
    for at_s, vector in enumerate(cls.numpy()):
        if segmenter.push(at_s * US_PER_SECOND, vector).cut:
            starts.append(at_s)
    side, patches = round(dims.slots**0.5), round(dims.memory_tower.mixed_tokens**0.5)
    clips = []
    for start, end in zip(starts, [*starts[1:], len(cls)], strict=True):
        facts = [frame_facts(world, float(at_s)) for at_s in range(start, end)]
        bits = np.stack([quadrant_bits(f, side) for f in facts])
        pairs = np.stack([patch_pairs(f, patches) for f in facts])
        room = ROOMS.index(facts[len(facts) // 2].room)
        clips.append(EncodedClip(start, end, features[start:end].clone(), bits, pairs, room))
    return tuple(clips)


def clip_text(start_s: int, end_s: int) -> str:
    """The text before a clip's tokens, as the compressor writes it (spec §2.3)."""
    start_us, end_us = start_s * US_PER_SECOND, end_s * US_PER_SECOND
    return CompressionConfig().prompt.format(
        start=whole_seconds(start_us), end=whole_seconds(end_us)
    )


class WorldCache:
    """The worlds of a step: ``size`` of an endless row, of which one is replaced now and then."""

    def __init__(
        self, tower: ClipTower, dims: FamilyDims, seed: int, *, size: int, steps_per_world: int
    ) -> None:
        self._tower = tower
        self._dims = dims
        self._seed = seed
        self._size = size
        self._steps_per_world = steps_per_world
        self._worlds: dict[int, EncodedWorld] = {}

    def at(self, step: int) -> tuple[EncodedWorld, ...]:
        """The worlds of a step; those not there yet are made, older ones dropped."""
        first = step // self._steps_per_world
        wanted = range(first, first + self._size)
        self._worlds = {i: w for i, w in self._worlds.items() if i in wanted}
        for i in wanted:
            if i not in self._worlds:
                self._worlds[i] = self._make(i)
        return tuple(self._worlds[i] for i in wanted)

    def glimpses(self, rng: np.random.Generator, count: int) -> tuple[EncodedWorld, ...]:
        """Worlds met once and never again, a frame of each scene."""
        seeds = rng.integers(TRAINING_SEEDS.start, TRAINING_SEEDS.stop, count)
        worlds = [make_world(int(seed), GLIMPSED_SECONDS) for seed in seeds]
        return tuple(encode_glimpses(self._tower, self._dims, w, rng) for w in worlds)

    def _make(self, index: int) -> EncodedWorld:
        rng = generator(self._seed, f"memory world {index}")
        seed = int(rng.integers(TRAINING_SEEDS.start, TRAINING_SEEDS.stop))
        scene_seconds = SCENE_SECONDS[int(rng.integers(len(SCENE_SECONDS)))]
        seconds = float(rng.integers(*WORLD_SECONDS))
        world = make_world(seed, seconds, scene_seconds=scene_seconds)
        return encode_world(self._tower, self._dims, world, rng)
