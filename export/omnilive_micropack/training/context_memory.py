"""The memory block of a context: H of retrieved clips and long-term memory, as a memory makes them.

It runs the memory model of ``memory/`` frozen, and trains nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from omnilive._native import resize_rgb
from omnilive.memory.config import LongTermConfig
from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.facts import FrameFacts, Seen, frame_facts
from omnilive_micropack.painting import paint
from omnilive_micropack.seeds import TRAINING_SEEDS
from omnilive_micropack.story import make_world
from omnilive_micropack.training.context_frames import Clip
from omnilive_micropack.training.memory_data import clip_text, encode_world
from omnilive_micropack.training.memory_model import ClipInput, MemoryModel
from omnilive_micropack.training.memory_tokens import open_tokenizer
from omnilive_micropack.training.towers import ClipTower, autocast, mix_2x2
from omnilive_micropack.training.vision_data import SIZES
from omnilive_micropack.world import World

BANK_WORLDS = 6
BANK_SECONDS = 420.0
MOMENTS_PER_WORLD = 8
LEAST_OVERLAP = 0.02
"""A quadrant shows a thing that covers so much of it."""


@dataclass(frozen=True, eq=False)
class ClipMemory:
    """H of one clip, float32 [slots · T, C], and what each slot shows most of: (frame, thing)."""

    short_term: Tensor
    shows: tuple[tuple[FrameFacts, Seen | None], ...]


class Remembering:
    """The trained memory of ``folder`` (a checkpoint's ``memory/``) with its tower."""

    def __init__(self, folder: Path, tower: ClipTower, dims: FamilyDims) -> None:
        """Read the weights. Raises what safetensors raises for a file that is none."""
        self._tower, self._dims = tower, dims
        self._tokenize = open_tokenizer(folder)
        self._model = MemoryModel(dims).eval().requires_grad_(False)
        tensors = load_file(folder / "model.safetensors")
        language = self._model.language.state_dict()
        self._model.language.load_state_dict(
            {name: tensors[f"model.{name}"].float() for name in language}
        )
        for name, linear in (
            ("0", self._model.projector.first),
            ("2", self._model.projector.second),
        ):
            prefix = f"model.mm_projector.mlp.{name}"
            linear.weight.copy_(tensors[f"{prefix}.weight"])
            linear.bias.copy_(tensors[f"{prefix}.bias"])
        self._bank: list[Tensor] = []

    def clip(self, world: World, clip: Clip, rng: np.random.Generator) -> ClipMemory:
        """H of a clip, as the runtime makes it."""
        pixels = self._dims.memory_tower.pixels
        size = SIZES[int(rng.integers(len(SIZES)))]
        frames = [
            resize_rgb(np.ascontiguousarray(paint(world, float(s), size)), pixels, pixels)
            for s in clip.seconds
        ]
        with torch.no_grad(), autocast():
            states = self._tower(torch.from_numpy(np.stack(frames)))[self._dims.select_layer]
            text = clip_text(clip.seconds[0], clip.seconds[-1] + 1)
            given = ClipInput(mix_2x2(states[:, 1:]), tuple(self._tokenize(text)))
            memories = self._model.compress([given])
        side = round(self._dims.slots**0.5)
        shows = [
            (facts, _largest(facts, row, column, side))
            for facts in (frame_facts(world, float(s)) for s in clip.seconds)
            for row in range(side)
            for column in range(side)
        ]
        return ClipMemory(memories.short_term[0].float(), tuple(shows))

    def overview(self, rng: np.random.Generator) -> Tensor:
        """Long-term memory [K, C] of some other stream.

        What it holds is in no question's evidence, so it may be anybody's: the reasoner learns
        that it is there.
        """
        if not self._bank:
            self._fill()
        return self._bank[int(rng.integers(len(self._bank)))]

    def _fill(self) -> None:
        rng = np.random.default_rng([0, 7])
        most = LongTermConfig().max_clips
        for _ in range(BANK_WORLDS):
            seed = int(rng.integers(TRAINING_SEEDS.start, TRAINING_SEEDS.stop))
            encoded = encode_world(self._tower, self._dims, make_world(seed, BANK_SECONDS), rng)
            given = [
                ClipInput(clip.features, tuple(self._tokenize(clip_text(clip.start_s, clip.end_s))))
                for clip in encoded.clips
            ]
            with torch.no_grad(), autocast():
                memories = self._model.compress(given)
                for count in rng.integers(1, len(given) + 1, MOMENTS_PER_WORLD):
                    short = memories.short_term[:count][-most:]
                    integrated = self._model.integrate(
                        short, memories.global_memory[:count][-most:]
                    )
                    self._bank.append(integrated.float())


def _largest(facts: FrameFacts, row: int, column: int, side: int) -> Seen | None:
    """The thing that covers most of a cell of the frame, if any covers enough."""
    left, top = column / side, row / side
    best, most = None, LEAST_OVERLAP
    for seen in facts.things:
        across = min(seen.box[2], left + 1 / side) - max(seen.box[0], left)
        down = min(seen.box[3], top + 1 / side) - max(seen.box[1], top)
        if across > 0 and down > 0 and across * down >= most:
            best, most = seen, across * down
    return best
