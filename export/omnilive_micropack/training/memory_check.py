"""How often the model in training finds the clip that shows an answer, on worlds of its own.

A look from inside training; what is reported is measured through a pack (benchmarks/).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from omnilive.memory.config import LongTermConfig, RetrievalConfig
from omnilive.memory.selection import probabilities, ranking, softmax_threshold
from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.question import Question
from omnilive_micropack.questions import KINDS, ask
from omnilive_micropack.seeds import CALIBRATION_SEEDS, generator
from omnilive_micropack.story import make_world
from omnilive_micropack.training.memory_batches import overlaps, seen_clips
from omnilive_micropack.training.memory_data import EncodedWorld, encode_world
from omnilive_micropack.training.memory_model import ClipMemories
from omnilive_micropack.training.memory_trainer import MemoryTrainer
from omnilive_micropack.training.towers import ClipTower, autocast

MOMENTS = 24
EARLIEST_SHARE = 0.1
"""Of a world: questions begin so late, as in the benchmark."""

TRIES = {"changed": 6, "who": 6, "exists": 6, "when_order": 6}
OTHER_TRIES = 3
"""Questions of each kind tried at a moment."""

BY_FORM = ("when_order", "where", "who")
"""Kinds whose forms differ much in how hard they are to find."""

SEEN_SHARE = {"exists": 0.5}
"""Of the questions of a kind: share with evidence at all, where it is not nearly all of them."""


@dataclass(frozen=True, eq=False)
class Check:
    """An encoded world and the questions of a few moments of it."""

    encoded: EncodedWorld
    asked: tuple[tuple[float, tuple[Question, ...]], ...]


def make_check(tower: ClipTower, dims: FamilyDims, index: int, seconds: float) -> Check:
    """The ``index``-th world of the calibration seeds, with held-out pairs and sentences."""
    seed = CALIBRATION_SEEDS[len(CALIBRATION_SEEDS) - 1 - index]
    rng = generator(seed, "memory check")
    world = make_world(seed, seconds, holdout=True)
    moments = np.sort(rng.uniform(EARLIEST_SHARE * seconds, seconds - 7, MOMENTS))
    asked = []
    for at_s in moments:
        tried = [
            ask(world, float(at_s), rng, kind)
            for kind in KINDS
            for _ in range(TRIES.get(kind, OTHER_TRIES))
        ]
        found = {q.text: q for q in tried if q is not None and q.evidence}
        asked.append((float(at_s), tuple(found.values())))
    return Check(encode_world(tower, dims, world, rng), tuple(asked))


def recalls(trainer: MemoryTrainer, checks: list[Check]) -> dict[str, float]:
    """Recall@1 by form of the questions whose evidence has gone, and over all of a part.

    ``explicit``, ``implicit`` and ``present`` are the benchmark's parts, the first with equally
    many questions of each kind; ``chosen`` is how often retrieval's own rule chooses a right clip.
    """
    gone: dict[str, list[float]] = defaultdict(list)
    parts: dict[str, list[float]] = defaultdict(list)
    kinds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with torch.no_grad(), autocast():
        for check in checks:
            for question, hit, chosen in _found(trainer, check):
                is_gone = max(end for _, end in question.evidence) < question.asked_s
                if question.implicit:
                    part = "implicit"
                else:
                    part = "gone" if is_gone else "present"
                    kinds[question.kind].append((float(is_gone), hit))
                parts[part].append(hit)
                parts[f"{part} chosen"].append(chosen)
                if is_gone:
                    by_form = question.kind in BY_FORM
                    gone[question.form if by_form else question.kind].append(hit)
    found = {name: float(np.mean(values)) for name, values in {**gone, **parts}.items()}
    found["explicit"] = _evenly(kinds)
    return {name: round(value, 3) for name, value in sorted(found.items())}


def _evenly(kinds: Mapping[str, list[tuple[float, float]]]) -> float:
    """Recall of what has gone when every kind is asked equally often: of (gone, hit) by kind."""
    weights, means = [], []
    for kind, items in kinds.items():
        hits = [hit for is_gone, hit in items if is_gone]
        if hits:
            weights.append(len(hits) / len(items) * SEEN_SHARE.get(kind, 1.0))
            means.append(float(np.mean(hits)))
    return float(np.average(means, weights=weights)) if means else 0.0


def _found(trainer: MemoryTrainer, check: Check) -> Iterator[tuple[Question, float, float]]:
    """Every question, whether its best clip is right, and whether a right one is chosen."""
    most, config = LongTermConfig().max_clips, RetrievalConfig()
    closed = trainer.compress(check.encoded.clips)
    for at_s, questions in check.asked:
        if not questions:
            continue
        clips = seen_clips(check.encoded.clips, at_s)
        memories = _with_open(closed, trainer.compress(clips[-1:]), len(clips))
        texts = [q.text for q in questions]
        scores = trainer.scores(memories, min(len(clips), most), texts).float()
        for question, row in zip(questions, scores.tolist(), strict=True):
            right = [overlaps(clip, question.evidence) for clip in clips]
            probability = probabilities(
                row, temperature=config.temperature, candidates=config.candidates
            )
            chosen = softmax_threshold(probability, config.min_probability)
            hit = right[ranking(row)[0]]
            yield question, float(hit), float(any(right[i] for i in chosen))


def _with_open(closed: ClipMemories, last: ClipMemories, count: int) -> ClipMemories:
    """The memories of the first ``count`` clips, the last of which is still open."""
    return ClipMemories(
        [*closed.short_term[: count - 1], *last.short_term],
        torch.cat([closed.global_memory[: count - 1], last.global_memory]),
    )
