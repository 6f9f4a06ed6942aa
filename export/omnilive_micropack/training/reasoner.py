"""The stage ``reasoner``: language model, Partial-LoRA and projectors learn to answer.

``run(out, seed=..., threads=...)`` needs the towers and the memory of the stages before it, of
which its own tower goes on learning, and writes ``out/base/`` and its card. It reads no test seed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnilive.errors import CheckpointError
from omnilive_micropack import text_tokenizers
from omnilive_micropack.corpus import corpus
from omnilive_micropack.dimensions import MICRO, FamilyDims
from omnilive_micropack.training.ahead import Ahead
from omnilive_micropack.training.begin import bring_inputs, load_reasoner
from omnilive_micropack.training.common import Bar, Progress, Saver, cosine_rate, prepare
from omnilive_micropack.training.reasoner_batches import Batch
from omnilive_micropack.training.reasoner_contexts import ContextSource, Serving
from omnilive_micropack.training.reasoner_folder import write_folder
from omnilive_micropack.training.reasoner_instruction import instruction_batch, instruction_loss
from omnilive_micropack.training.reasoner_loss import Scores
from omnilive_micropack.training.reasoner_text import PromptText
from omnilive_micropack.training.reasoner_trainer import ReasonerTrainer
from omnilive_micropack.training.vision import load_tower

SAVE_EVERY_S = 120.0
WARM_UP = 30
CURVE_EVERY = 100
HELP_UNTIL, HELP_AFTER = 0.85, 0.3
"""Part of a phase until which all aids of learning count in full, and how much they do then."""


DRILL = Serving(
    contexts=8,
    questions=8,
    frames=3,
    few_share=0.6,
    told_share=1.0,
    kinds={
        "count": 14,
        "exists": 3,
        "not_seen": 2,
        "where": 1.5,
        "when_order": 3,
        "who": 1,
        "changed": 1,
    },
)
"""Small contexts that tell their words, for what is hard to learn even then: to count, to tell a
pair from its kind in another colour, and to find one thing by way of another."""


@dataclass(frozen=True)
class Phase:
    """A part of the training with a schedule of its own.

    Attributes:
        steps: how many; the learning rate rises to ``peak`` and falls to 0 within them.
        memory_share: contexts with a memory block.
        told: contexts that tell their words at the phase's beginning; fewer and fewer do, and
            from ``told_until`` (a part of the phase) on none.
        drill_until: part of the phase in which every second step is a DRILL.
        rounded: whether weights are taken as an int4 pack will hold them.
    """

    steps: int
    peak: float
    memory_share: float
    told: float = 0.0
    told_until: float = 1.0
    drill_until: float = 0.0
    rounded: bool = False

    def serving(self, step: int) -> Serving:
        """What a batch is made of at a step of this phase."""
        if step % 2 and step < self.drill_until * self.steps:
            return DRILL
        told = self.told * (1 - step / self.steps / self.told_until)
        return Serving(memory_share=self.memory_share, told_share=max(0.0, told))


MEETING_STEPS = 300
PHASES = (
    Phase(1600, 1.2e-3, memory_share=0.0, told=0.9, told_until=0.35, drill_until=0.6),
    Phase(1400, 8e-4, memory_share=0.4, drill_until=0.4, rounded=True),
)
"""First to look at frames, then to do so beside memory, and to read what only memory holds."""

GOING_ON = (Phase(3000, 8e-4, memory_share=0.4, drill_until=0.6, rounded=True),)


def run(
    out: Path,
    *,
    seed: int,
    threads: int = 1,
    dims: FamilyDims = MICRO,
    start: Path | None = None,
    phases: Sequence[Phase] | None = None,
    meeting: int = MEETING_STEPS,
) -> dict[str, Any]:
    """Train, going on from where an earlier run of ``out`` stopped.

    Args:
        out: has ``towers/`` and ``memory/``; gets ``base/``, its card and, meanwhile, ``state/``.
        seed: of weights, worlds and questions.
        threads: of torch; another process with as many makes the batches.
        dims: sizes of the family.
        start: folder with the ``base/``, ``memory/`` and towers to begin from, for what ``out``
            does not have; None begins from drawn weights.
        phases: default: PHASES, or GOING_ON from a ``start``.
        meeting: steps of the projectors alone, where weights are drawn.

    Returns:
        The card: seed, counts, minutes, curve.

    Raises:
        CheckpointError: towers or memory are missing.
    """
    prepare(seed, threads)
    chosen = phases or (PHASES if start is None else GOING_ON)
    if start is not None:
        bring_inputs(start, out)
    model = text_tokenizers.train_sentencepiece(
        corpus(), dims.reasoner_lm.vocab, dims.reserved_pieces
    )
    text = PromptText(model)
    tower = load_tower(_needed(out / "towers" / "reasoner.safetensors"), dims, "reasoner")
    _needed(out / "towers" / "memory.safetensors")
    _needed(out / "memory" / "model.safetensors")
    trainer = ReasonerTrainer(dims, tower, text, seed)
    saver = Saver(out / "state" / "reasoner.pt", SAVE_EVERY_S)
    with closing(Ahead(ContextSource(out, dims, model, seed).open, threads)) as ahead:
        progress = train(trainer, ahead.of, text, seed, chosen, meeting, saver, start)
    write_folder(out / "base", trainer.net, tower, model, dims)
    card = _card(seed, start is not None, chosen, progress)
    (out / "card").mkdir(exist_ok=True)
    text_card = json.dumps(card, indent=2, sort_keys=True) + "\n"
    (out / "card" / "reasoner.json").write_text(text_card, encoding="utf-8")
    return card


Batches = Callable[[Iterable[tuple[int, Serving]]], Iterator[Batch]]


def train(
    trainer: ReasonerTrainer,
    batches: Batches,
    text: PromptText,
    seed: int,
    phases: Sequence[Phase],
    meeting: int,
    saver: Saver,
    start: Path | None = None,
) -> Progress:
    """Train to the end of the last phase, from where ``saver`` knows it stands."""
    progress = saver.load(trainer.parts)
    if not progress.step:
        serving = Serving(memory_share=0.5)
        if start is None:
            apart = trainer.meet(batches((i, serving) for i in range(meeting + 1)), meeting)
            print(f"projectors are {apart:.3f} from the words", file=sys.stderr, flush=True)
        else:
            load_reasoner(trainer.net, start / "base")
            trainer.rescale(next(batches([(0, serving)])))
    trainer.load_fast()
    scores, bar = Scores(), Bar("reasoner", sum(phase.steps for phase in phases))
    left = _left(phases, progress.step)
    coming = batches((progress.step + i, p.serving(at)) for i, (p, at) in enumerate(left))
    for (phase, step), batch in zip(left, coming, strict=True):
        began = time.monotonic()
        trainer.round_weights(phase.rounded)
        found = trainer.losses(batch)
        loss = found.total(HELP_AFTER if step > HELP_UNTIL * phase.steps else 1.0)
        asked = instruction_batch(np.random.default_rng([seed, 3, progress.step]), text)
        said, right = instruction_loss(trainer.fast, asked)
        scores.add([asked.kinds], right)
        trainer.apply(loss + said, cosine_rate(step, phase.steps, WARM_UP, phase.peak))
        scores.add([[a.kind for a in row] for row in batch.asked], found.right)
        progress.step += 1
        progress.seconds += time.monotonic() - began
        shares = {name: round(share, 3) for name, share in scores.shares().items()}
        if progress.step % CURVE_EVERY == 0:
            progress.curve.append({"step": progress.step, **shares})
        bar.show(progress, f"{found} {shares}")
        saver.save(trainer.parts, progress)
    saver.save(trainer.parts, progress, now=True)
    return progress


def _left(phases: Sequence[Phase], done: int) -> list[tuple[Phase, int]]:
    """The steps still to take, each with its phase and its number there."""
    return [(phase, step) for phase in phases for step in range(phase.steps)][done:]


def _needed(path: Path) -> Path:
    if not path.is_file():
        raise CheckpointError(
            "is missing, and the reasoner is trained on what it makes",
            where=str(path),
            mend="Train the stages vision and memory into this folder first.",
        )
    return path


def _card(seed: int, goes_on: bool, phases: Sequence[Phase], progress: Progress) -> dict[str, Any]:
    return {
        "stage": "reasoner",
        "seed": seed,
        "goes_on": goes_on,
        "phases": [vars(phase) for phase in phases],
        "minutes": round(progress.seconds / 60, 1),
        "curve": progress.curve,
    }
