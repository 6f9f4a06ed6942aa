"""A small deterministic stand-in for an engine pack's memory engines, in numpy.

The decoder is a recurrence, so every output depends on the whole prefix in order: whatever keeps
a wrong prefix, or drops a right one, changes the result. Rows are computed one by one, so
splitting a prefill changes no bit.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from omnilive.engine.manifest import MemorySpec
from omnilive.errors import EngineError

SPEC = MemorySpec(
    pixels=8,
    grid=2,
    features=6,
    cls=5,
    slots=4,
    hidden=8,
    vocab=256,
    max_positions=512,
)


class FakeArena:
    """Holds one recurrent state per token, as a KV arena holds one K and V."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.states = []

    @property
    def length(self):
        return len(self.states)

    def truncate(self, length):
        if length > len(self.states):
            raise EngineError("holds fewer", where="fake arena", mend="-")
        del self.states[length:]


class FakeDecoder:
    """h_t = tanh(A h_{t-1} + x_t + position); counts tokens and arenas."""

    def __init__(self, width, max_positions, seed=0):
        rng = np.random.default_rng(seed)
        self._a = (rng.standard_normal((width, width)) / np.sqrt(width)).astype(np.float32)
        self._width = width
        self._max_positions = max_positions
        self.blocks = []
        self.arenas = []

    @property
    def tokens(self):
        return sum(self.blocks)

    def new_arena(self, capacity=None):
        capacity = self._max_positions if capacity is None else capacity
        if capacity > self._max_positions:
            raise EngineError("too long", where="fake decoder", mend="-")
        arena = FakeArena(capacity)
        self.arenas.append(arena)
        return arena

    def hidden(self, arena, embeds):
        assert embeds.dtype == np.float32 and embeds.ndim == 2 and len(embeds) > 0
        if arena.length + len(embeds) > arena.capacity:
            raise EngineError("overflows", where="fake arena", mend="-")
        self.blocks.append(len(embeds))
        zero = np.zeros(self._width, np.float32)
        for row in embeds:
            previous = arena.states[-1] if arena.states else zero
            position = np.float32(np.sin(arena.length))
            arena.states.append(np.tanh(self._a @ previous + row + position))
        return np.stack(arena.states[-len(embeds) :])


class FakeProjector:
    """Spec §2.2 with a linear map for the MLP: [F, slots, global] → embeds."""

    def __init__(self, spec, seed=1):
        rng = np.random.default_rng(seed)
        self._w = rng.standard_normal((spec.features, spec.hidden)).astype(np.float32)
        self._spec = spec

    def run(self, feeds):
        f = feeds["features"]
        t, g, s = len(f), self._spec.grid, int(self._spec.slots**0.5)
        cells = f.reshape(t, s, g // s, s, g // s, -1).mean(axis=(2, 4)).reshape(t * s * s, -1)
        flat = f.reshape(t * g * g, -1)
        rows = np.concatenate([flat, cells, flat.mean(axis=0, keepdims=True)])
        return {"clip_embeds": (rows @ self._w).astype(np.float32)}


class FakeVit:
    """Features that follow from a picture's mean colour alone."""

    def __init__(self, spec):
        self._spec = spec

    def run(self, feeds):
        frames, spec = feeds["frames"], self._spec
        assert frames.dtype == np.uint8 and frames.shape[1:] == (spec.pixels, spec.pixels, 3)
        colour = frames.mean(axis=(1, 2), dtype=np.float32)
        cls = np.resize(colour, (len(frames), spec.cls))
        patches = np.resize(colour, (len(frames), spec.grid**2, spec.features))
        return {"features": patches.astype(np.float32), "cls": cls.astype(np.float32)}


class FakeTable:
    def __init__(self, spec, seed=2):
        rng = np.random.default_rng(seed)
        self._rows = rng.standard_normal((spec.vocab, spec.hidden)).astype(np.float32)

    def rows(self, ids):
        return self._rows[np.asarray(ids, np.int64)]


class FakeTokenizer:
    """One token per UTF-8 byte."""

    def encode(self, text, *, allow_special=False):
        return list(text.encode())


@dataclasses.dataclass(frozen=True)
class FakeManifest:
    memory: MemorySpec


class FakePack:
    """The memory side of an engine pack."""

    def __init__(self, **changes):
        spec = dataclasses.replace(SPEC, **changes)
        self.manifest = FakeManifest(spec)
        self.lm = FakeDecoder(spec.hidden, spec.max_positions)
        self.projector = FakeProjector(spec)
        self._table = FakeTable(spec)
        self.calibration = {}

    def engine(self, name):
        return {"mem_proj": self.projector, "mem_vit": FakeVit(self.manifest.memory)}[name]

    def decoder(self, name):
        assert name == "mem_lm"
        return self.lm

    def table(self, name):
        assert name == "mem_embed"
        return self._table

    def tokenizer(self, name):
        assert name == "memory"
        return FakeTokenizer()


def features(frames, seed=0, spec=SPEC):
    """Random features [G·G, 4C] of ``frames`` frames."""
    rng = np.random.default_rng(seed)
    shape = (spec.grid**2, spec.features)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(frames)]


def clip(index, frames=3, *, seed=None, spec=SPEC):
    """A clip of random memory, ``frames`` seconds long, 100 s after the one before it."""
    from omnilive.memory.clip import Clip, Keyframe

    rng = np.random.default_rng(index if seed is None else seed)
    start_us = index * 100_000_000
    pts = tuple(start_us + i * 1_000_000 for i in range(frames))
    return Clip(
        index=index,
        start_us=start_us,
        end_us=start_us + frames * 1_000_000,
        frame_pts=pts,
        keyframes=tuple(Keyframe(f"kf-{p:015d}", 64, 36) for p in pts),
        short_term=rng.standard_normal((spec.slots * frames, spec.hidden)).astype(np.float32),
        global_memory=rng.standard_normal(spec.hidden).astype(np.float32),
    )
