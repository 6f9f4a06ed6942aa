"""The contexts of a training step: some new, the rest met before and asked other questions.

The same step gives the same batch, whether or not training was stopped before it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.seeds import TRAINING_SEEDS
from omnilive_micropack.training.context import Context, ask_again, draw_context
from omnilive_micropack.training.context_memory import Remembering
from omnilive_micropack.training.reasoner_batches import Batch, collate
from omnilive_micropack.training.reasoner_text import PromptText
from omnilive_micropack.training.reasoner_views import (
    MemoryBlock,
    Seeing,
    no_memory,
    remember,
    see,
)
from omnilive_micropack.training.towers import ClipTower

MOST_FRAMES = (1, 2, 3, 4, 5, 6, 8, 8, 8, 8)
"""How many frames a prompt may show, each as likely; a session shows up to the last."""


@dataclass(frozen=True)
class Serving:
    """What a batch is made of.

    Attributes:
        contexts, questions: of one batch; a context may have fewer questions.
        fresh: new contexts a step.
        kept: contexts that can be met again.
        memory_share: contexts with a memory block.
        told_share: contexts that tell their words instead of showing anything.
    """

    contexts: int = 4
    questions: int = 16
    fresh: int = 2
    kept: int = 120
    memory_share: float = 0.0
    told_share: float = 0.0


class Contexts:
    """Contexts by number, each with what the networks see in it; the same number, the same one."""

    def __init__(
        self,
        tower: ClipTower,
        memory: Remembering,
        dims: FamilyDims,
        text: PromptText,
        seed: int,
    ) -> None:
        """Take the frozen networks."""
        self._tower, self._memory, self._dims, self._text = tower, memory, dims, text
        self._seed = seed
        self._kept: OrderedDict[tuple[int, bool], tuple[Context, Seeing, MemoryBlock]] = (
            OrderedDict()
        )

    def batch(self, step: int, serving: Serving) -> Batch:
        """The batch of a step."""
        rng = np.random.default_rng([self._seed, 2, step])
        newest = serving.fresh * (step + 1) + serving.contexts
        chosen = [newest - 1 - i for i in range(serving.fresh)]
        others = rng.integers(
            max(0, newest - serving.kept),
            newest - serving.fresh,
            serving.contexts - serving.fresh,
        )
        found = [self._number(int(i), serving) for i in (*chosen, *others)]
        return collate(
            [ask_again(rng, context, serving.questions) for context, _, _ in found],
            [view for _, view, _ in found],
            [block for _, _, block in found],
            [bool(rng.random() < serving.told_share) for _ in found],
            self._text,
        )

    def _number(self, index: int, serving: Serving) -> tuple[Context, Seeing, MemoryBlock]:
        rng = np.random.default_rng([self._seed, 1, index])
        remembers = bool(rng.random() < serving.memory_share)
        key = (index, remembers)
        if key not in self._kept:
            most = int(rng.choice(MOST_FRAMES))
            context = draw_context(rng, TRAINING_SEEDS, serving.questions, most)
            view = see(context, self._tower, self._dims, self._text, rng)
            block = no_memory(self._dims)
            if remembers:
                block = remember(context, self._memory, self._text, rng)
            self._kept[key] = context, view, block
            while len(self._kept) > serving.kept:
                self._kept.popitem(last=False)
        return self._kept[key]
