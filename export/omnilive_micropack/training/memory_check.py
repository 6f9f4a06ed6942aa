"""How often the model in training finds the clip that shows an answer, on worlds of its own.

A look from inside training; what is reported is measured through a pack (benchmarks/).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch

from omnilive.memory.config import LongTermConfig
from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.question import Question
from omnilive_micropack.questions import ask
from omnilive_micropack.seeds import CALIBRATION_SEEDS, generator
from omnilive_micropack.story import make_world
from omnilive_micropack.training.memory_batches import KIND_WEIGHTS, overlaps, seen_clips
from omnilive_micropack.training.memory_data import EncodedWorld, encode_world
from omnilive_micropack.training.memory_model import ClipMemories
from omnilive_micropack.training.memory_trainer import MemoryTrainer
from omnilive_micropack.training.towers import ClipTower, autocast

MOMENTS = 12
TRIES = 40


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
    moments = np.sort(rng.uniform(seconds / 2, seconds - 5, MOMENTS))
    names = list(KIND_WEIGHTS)
    asked = []
    for at_s in moments:
        tried = [ask(world, float(at_s), rng, names[i % len(names)]) for i in range(TRIES)]
        asked.append((float(at_s), tuple(q for q in tried if q is not None and q.evidence)))
    return Check(encode_world(tower, dims, world, rng), tuple(asked))


def recalls(trainer: MemoryTrainer, checks: list[Check]) -> dict[str, float]:
    """Recall@1 of each kind of question, and over the explicit and the implicit ones."""
    hits: dict[str, list[float]] = defaultdict(list)
    most = LongTermConfig().max_clips
    with torch.no_grad(), autocast():
        for check in checks:
            closed = trainer.compress(check.encoded.clips)
            for at_s, questions in check.asked:
                if not questions:
                    continue
                clips = seen_clips(check.encoded.clips, at_s)
                memories = _with_open(closed, trainer.compress(clips[-1:]), len(clips))
                texts = [q.text for q in questions]
                best = trainer.scores(memories, min(len(clips), most), texts).argmax(dim=1)
                for question, i in zip(questions, best.tolist(), strict=True):
                    hit = float(overlaps(clips[i], question.evidence))
                    name = question.form if question.kind == "when_order" else question.kind
                    hits[name].append(hit)
                    hits["all implicit" if question.implicit else "all explicit"].append(hit)
    return {name: round(float(np.mean(values)), 3) for name, values in sorted(hits.items())}


def _with_open(closed: ClipMemories, last: ClipMemories, count: int) -> ClipMemories:
    """The memories of the first ``count`` clips, the last of which is still open."""
    return ClipMemories(
        [*closed.short_term[: count - 1], *last.short_term],
        torch.cat([closed.global_memory[: count - 1], last.global_memory]),
    )
