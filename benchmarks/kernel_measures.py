"""Runs the native kernels beside what they are held against. It judges nothing.

What is compared runs in turns, so that a ratio is of two neighbouring runs and what else the
machine does falls on both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from omnilive import _native

FRAMES = ((720, 1280), (1080, 1920))
SIDES = (336, 560)
"""Height and width of frames, and the sides of the memory's and the reasoner's squares."""

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's pictures (spec §1.4)."""

VOCABULARY = 92_544
"""Of the reasoner (spec §1.2)."""

ROW_WIDTH = 1536
"""Values of a global memory Ĥ (spec §2.4)."""


@dataclass(frozen=True)
class Measure:
    """One figure and its bar.

    Attributes:
        unit: ``ratio``, ``us``, ``ms``, ``GB/s`` or ``levels`` of 255.
        bar: what the median must reach (``at_least``) or must not exceed; None for none.
    """

    name: str
    title: str
    unit: str
    at_least: bool = True
    bar: float | None = None


@dataclass(frozen=True)
class Sampled:
    """A measure with its samples, in its unit."""

    measure: Measure
    samples: tuple[float, ...]


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long one call of ``work`` takes by ``clock``."""
    start = clock()
    work()
    return clock() - start


def resizing(rounds: int, seed: int) -> Iterator[Sampled]:
    """Frames to squares, and normalized, beside Pillow's resizing alone.

    Each runs in this one thread, and its processor time counts: the longer of two would otherwise
    be interrupted more often on a machine that has other work.
    """
    rng = np.random.default_rng(seed)
    for height, width in FRAMES:
        rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for side in SIDES:
            yield from _resizing(rgb, side, rounds)


def _resizing(rgb: npt.NDArray[np.uint8], side: int, rounds: int) -> Iterator[Sampled]:
    image = Image.fromarray(rgb)

    def pillow() -> npt.NDArray[np.uint8]:
        return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))

    def resized() -> npt.NDArray[np.uint8]:
        return _native.resize_rgb(rgb, side, side)

    def normalized() -> npt.NDArray[np.float32]:
        return _native.normalized_planes(resized(), MEAN, DEVIATION)

    label = f"{rgb.shape[1]}x{rgb.shape[0]} → {side}"
    name = f"{rgb.shape[0]}_to_{side}"
    worst = np.abs(resized().astype(np.int16) - pillow()).max()
    normalized()
    turns = [
        [seconds(f, time.thread_time) for f in (pillow, resized, normalized)] for _ in range(rounds)
    ]
    pillow_s, resized_s, normalized_s = zip(*turns, strict=True)
    yield Sampled(
        Measure(f"resize_error_{name}", f"{label}, worst difference", "levels", False, 2),
        (float(worst),),
    )
    yield _milliseconds(f"pillow_{name}", f"{label}, Pillow bicubic", pillow_s)
    yield _milliseconds(f"resize_{name}", f"{label}, resize", resized_s)
    yield Sampled(
        Measure(f"resize_gain_{name}", f"{label}, times as fast", "ratio", True, 3),
        tuple(p / r for p, r in zip(pillow_s, resized_s, strict=True)),
    )
    yield Sampled(
        Measure(f"normalize_gain_{name}", f"{label}, normalized too", "ratio", True, 3),
        tuple(p / n for p, n in zip(pillow_s, normalized_s, strict=True)),
    )


def _milliseconds(name: str, title: str, samples: tuple[float, ...]) -> Sampled:
    return Sampled(Measure(name, title, "ms"), tuple(s * 1e3 for s in samples))


def ranking(rounds: int, seed: int, rows: int, threads: int) -> Iterator[Sampled]:
    """Top-10 cosines over float16 [rows, 1536] beside a plain sum of the same bytes."""
    rng = np.random.default_rng(seed)
    query = rng.standard_normal(ROW_WIDTH).astype(np.float32)
    memory = np.empty((rows, ROW_WIDTH), np.float16)
    block = rng.standard_normal((1000, ROW_WIDTH)).astype(np.float16)
    for start in range(0, rows, len(block)):
        part = memory[start : start + len(block)]
        part[:] = block[: len(part)]
    words = memory.reshape(-1).view(np.uint64)

    def read() -> object:
        return _native.sum_words(words, threads=threads)

    def rank() -> object:
        return _native.topk_cosine(query, memory, 10, threads=threads)

    turns = [(seconds(read), seconds(rank)) for _ in range(rounds)]
    gigabytes = memory.nbytes / 1e9
    label = f"{rows:,} x {ROW_WIDTH} fp16"
    yield Sampled(
        Measure("read_bandwidth", f"{label}, plain sum", "GB/s"),
        tuple(gigabytes / r for r, _ in turns),
    )
    yield Sampled(
        Measure("topk_bandwidth", f"{label}, top-10 cosine", "GB/s"),
        tuple(gigabytes / t for _, t in turns),
    )
    yield Sampled(
        Measure("topk_share", f"{label}, share of the bandwidth", "ratio", True, 0.8),
        tuple(r / t for r, t in turns),
    )


RULES = {
    "greedy": (30, {"temperature": 0.0, "repetition_penalty": 1.0}),
    "greedy_penalty": (None, {"temperature": 0.0, "repetition_penalty": 1.005}),
    "top_k_top_p": (150, {"temperature": 0.8, "repetition_penalty": 1.0}),
    "top_k_top_p_penalty": (None, {"temperature": 0.8, "repetition_penalty": 1.005}),
}
"""Bar in microseconds and what differs, by name; top-k is 50 and top-p 0.8 where they matter."""

SAID = 200
"""Tokens of the history that the penalty applies to."""


def sampling(rounds: int, seed: int) -> Iterator[Sampled]:
    """Single calls over a vocabulary; the logits change from call to call, as they do in use.

    There are nine of them, so that each rule meets each, none still warm from another rule.
    """
    rng = np.random.default_rng(seed)
    logits = [(rng.standard_normal(VOCABULARY) * 3).astype(np.float32) for _ in range(9)]
    said = rng.integers(0, VOCABULARY, SAID).tolist()
    times: dict[str, list[float]] = {name: [] for name in RULES}
    calls = 0
    for step in range(rounds):
        for name, (_, rule) in RULES.items():
            times[name].append(_call(logits[calls % len(logits)], said, rule, step))
            calls += 1
    for name, (bar, _) in RULES.items():
        title = f"{VOCABULARY:,} logits, {name.replace('_', ' ')}"
        yield Sampled(
            Measure(f"sample_{name}", title, "us", False, bar),
            tuple(s * 1e6 for s in times[name]),
        )


def _call(
    logits: npt.NDArray[np.float32], said: list[int], rule: dict[str, float], step: int
) -> float:
    return seconds(
        lambda: _native.sample(
            logits,
            said if rule["repetition_penalty"] != 1 else (),
            temperature=rule["temperature"],
            repetition_penalty=rule["repetition_penalty"],
            top_k=50,
            top_p=0.8,
            seed=1,
            generation=1,
            step=step,
        )
    )
