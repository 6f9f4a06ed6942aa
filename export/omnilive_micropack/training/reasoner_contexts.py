"""The contexts of a training step, all of them new.

The same step gives the same batch, whether or not training was stopped before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from omnilive_micropack.dimensions import FamilyDims
from omnilive_micropack.seeds import TRAINING_SEEDS
from omnilive_micropack.training.context import KIND_WEIGHTS, draw_context
from omnilive_micropack.training.context_memory import Remembering
from omnilive_micropack.training.reasoner_batches import Batch, collate
from omnilive_micropack.training.reasoner_text import PromptText
from omnilive_micropack.training.reasoner_views import no_memory, remember, see
from omnilive_micropack.training.vision import load_tower

MOST_FRAMES = 8
"""How many frames a session shows at most."""


@dataclass(frozen=True)
class Serving:
    """What a batch is made of.

    Attributes:
        contexts, questions: of one batch; a context may have fewer questions.
        frames: shown at most.
        few_share: contexts that show fewer frames than that, down to one.
        memory_share: contexts with a memory block.
        told_share: contexts that tell their words instead of showing anything; at 1 nothing is
            drawn for them.
        kinds: of questions tried, each so often.
    """

    contexts: int = 4
    questions: int = 16
    frames: int = MOST_FRAMES
    few_share: float = 0.2
    memory_share: float = 0.0
    told_share: float = 0.0
    kinds: Mapping[str, float] = field(default_factory=lambda: dict(KIND_WEIGHTS))


@dataclass(frozen=True)
class ContextSource:
    """What ``Contexts`` are made from, to be opened in another process.

    Attributes:
        out: has ``towers/`` and ``memory/``.
        tokenizer: the reasoner's, a serialized SentencePiece model.
    """

    out: Path
    dims: FamilyDims
    tokenizer: bytes
    seed: int

    def open(self) -> Callable[[tuple[int, Serving]], Batch]:
        """Read the networks; the function gives the batch of a step."""
        tower = load_tower(self.out / "towers" / "memory.safetensors", self.dims, "memory")
        memory = Remembering(self.out / "memory", tower, self.dims)
        contexts = Contexts(memory, self.dims, PromptText(self.tokenizer), self.seed)
        return lambda asked: contexts.batch(*asked)


class Contexts:
    """Contexts by step, each with what the networks are shown of it."""

    def __init__(
        self,
        memory: Remembering,
        dims: FamilyDims,
        text: PromptText,
        seed: int,
    ) -> None:
        """Take the frozen memory."""
        self._memory, self._dims, self._text = memory, dims, text
        self._seed = seed

    def batch(self, step: int, serving: Serving) -> Batch:
        """The batch of a step."""
        rng = np.random.default_rng([self._seed, 2, step])
        contexts, views, blocks = [], [], []
        for _ in range(serving.contexts):
            few = rng.random() < serving.few_share
            most = int(rng.integers(1, serving.frames)) if few else serving.frames
            context = draw_context(rng, TRAINING_SEEDS, serving.questions, most, serving.kinds)
            remembers = rng.random() < serving.memory_share
            contexts.append(context)
            drawn = serving.told_share < 1
            views.append(see(context, self._dims, self._text, rng, drawn=drawn))
            blocks.append(
                remember(context, self._memory, self._text, rng)
                if remembers
                else no_memory(self._dims)
            )
        told = [bool(rng.random() < serving.told_share) for _ in contexts]
        return collate(contexts, views, blocks, told, self._text)
