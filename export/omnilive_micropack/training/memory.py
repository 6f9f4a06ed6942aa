"""Stage ``memory``: trains the compressor, integration and retrieval on the frozen memory tower.

It reads ``towers/memory.safetensors``, which stage ``vision`` wrote, and writes ``memory/`` in the
checkpoint's layout. It never sees a test seed.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omnilive_micropack import configs, layout, text_tokenizers
from omnilive_micropack.corpus import corpus
from omnilive_micropack.dimensions import MICRO, FamilyDims
from omnilive_micropack.seeds import TRAINING_SEEDS, generator
from omnilive_micropack.training.begin import folder_tensors
from omnilive_micropack.training.common import (
    Bar,
    Progress,
    Saver,
    cosine_rate,
    prepare,
    write_tensors,
)
from omnilive_micropack.training.memory_batches import draw_clips, draw_lesson
from omnilive_micropack.training.memory_cards import draw_cards
from omnilive_micropack.training.memory_check import make_check, recalls
from omnilive_micropack.training.memory_data import WorldCache
from omnilive_micropack.training.memory_plan import (
    DEFAULT_PLAN,
    GOING_ON,
    MemoryPlan,
)
from omnilive_micropack.training.memory_practice import Things, draw_practice, draw_visit
from omnilive_micropack.training.memory_practice_trainer import PracticeTrainer
from omnilive_micropack.training.memory_tokens import open_tokenizer
from omnilive_micropack.training.memory_trainer import MemoryTrainer
from omnilive_micropack.training.towers import ClipTower
from omnilive_micropack.training.vision import MEMORY_PREFIX, load_tower

SAVE_SECONDS = 60.0
PROJECTOR_PREFIX = "model.mm_projector.mlp."
WARM_UP = 40
"""Steps in which a learning rate rises."""

CHECK_SECONDS = (1800.0, 1800.0)
"""Lengths of the worlds that recall is looked at on."""


def run(
    out: Path,
    *,
    seed: int = TRAINING_SEEDS.start,
    threads: int = 1,
    dims: FamilyDims = MICRO,
    plan: MemoryPlan | None = None,
    checks: tuple[float, ...] = CHECK_SECONDS,
    start: Path | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train the memory, going on from where an earlier run of ``out`` stopped.

    Args:
        out: has ``towers/``, unless there is a ``start``; gets ``memory/``, ``card/memory.json``
            and, meanwhile, ``state/``.
        seed: of weights, worlds and questions.
        threads: of torch.
        dims: sizes of the family.
        plan: how long and how fast; default: DEFAULT_PLAN, or GOING_ON from a ``start``.
        checks: seconds of each world that recall is looked at on.
        start: folder with the ``memory/`` to begin from, tower and all.
        tell: hears of every look at the recall, once it is safe to stop.

    Returns:
        The card: seed, counts, minutes, curve.
    """
    prepare(seed, threads)
    plan = plan or (DEFAULT_PLAN if start is None else GOING_ON)
    folder = out / "memory"
    folder.mkdir(parents=True, exist_ok=True)
    write_texts(folder, dims)
    weights = None if start is None else folder_tensors(start / "memory")
    tower = (
        load_tower(out / "towers" / "memory.safetensors", dims, "memory")
        if weights is None
        else tower_of(weights, dims)
    )
    trainer = PracticeTrainer(dims, seed, open_tokenizer(folder))
    cache = WorldCache(tower, dims, seed, size=plan.worlds, steps_per_world=plan.steps_per_world)
    trainer.model.projector.measure(torch.cat([c.features for c in cache.at(0)[0].clips]))
    if weights is not None:
        begin_from(trainer, weights)
    things = Things()
    saver = Saver(out / "state" / "memory.pt", SAVE_SECONDS)
    parts = {"parts": trainer.parts, "optimizer": trainer.optimizer}
    progress = saver.load(parts)
    held = [make_check(tower, dims, i, seconds) for i, seconds in enumerate(checks)]
    bar = Bar("memory", plan.steps)
    before_s, begun = progress.seconds, time.monotonic()
    while progress.step < plan.steps:
        losses = _take(trainer, cache, things, plan, progress.step, seed)
        progress.step += 1
        progress.seconds = before_s + time.monotonic() - begun
        lessons = progress.step - plan.projector_steps
        look = lessons > 0 and (lessons == plan.lessons or lessons % plan.check_every == 0)
        if look:
            progress.curve.append({"step": progress.step, **losses, **recalls(trainer, held)})
            write_tensors(
                folder / "model.safetensors",
                memory_tensors(trainer, tower),
                list(layout.memory_tensors(dims)),
            )
        losing = " ".join(f"{name} {value:.2f}" for name, value in losses.items())
        note = str(progress.curve[-1]) if look else losing
        bar.show(progress, note, now=look)
        saver.save(parts, progress, now=look)
        if look:
            tell(progress)
    card = _card(plan, seed, progress, start)
    (out / "card").mkdir(exist_ok=True)
    _dump(out / "card" / "memory.json", card)
    return card


def _take(
    trainer: PracticeTrainer,
    cache: WorldCache,
    things: Things,
    plan: MemoryPlan,
    step: int,
    seed: int,
) -> dict[str, float]:
    """Take a step of the plan; which one it is decides all that is drawn."""
    rng = generator(seed, f"memory step {step}")
    lesson_number = step - plan.projector_steps
    if lesson_number < 0:
        clips = draw_clips(cache.at(0), rng, plan.projector_clips)
        trainer.rate = cosine_rate(step, plan.projector_steps, WARM_UP, plan.projector_rate)
        return trainer.take_projector(clips)
    one, at = plan.round_of(lesson_number)
    trainer.rate = cosine_rate(at, one.lessons, WARM_UP, one.rate)
    if at == 0 and one.keeps and not trainer.keeps:
        trainer.keep_from_here()
    worlds = cache.at(lesson_number)
    if at < one.cards:
        glimpses = cache.glimpses(rng, plan.card_worlds)
        return trainer.take_cards(draw_cards(glimpses, rng, plan.card_questions))
    if at >= one.lessons - one.practice:
        visit = draw_visit(worlds, rng) if at % plan.visit_every == 0 else None
        return trainer.take_practice(draw_practice(things.of(worlds), rng), visit, rng)
    lesson = draw_lesson(worlds, rng)
    if at < one.cards + one.thinned:
        thinned = tuple(clip.thinned(plan.thinned_frames) for clip in lesson.clips)
        lesson = dataclasses.replace(lesson, clips=thinned)
    return trainer.take(lesson)


def write_texts(folder: Path, dims: FamilyDims) -> None:
    """Write everything of ``memory/`` but the weights: configuration and tokenizer."""
    bpe = text_tokenizers.train_qwen_bpe(corpus(), dims.bpe_entries)
    special = text_tokenizers.write_qwen_bpe(
        folder, bpe, text_tokenizers.MEMORY_SPECIALS, dims.memory_lm.positions
    )
    end_of_text = special[text_tokenizers.END_OF_TEXT]
    ids = configs.SpecialIds(
        memory_end_of_text=end_of_text,
        audio_end_of_text=end_of_text,
        audio_turn_end=end_of_text,
        audio_placeholder=end_of_text,
    )
    _dump(folder / "config.json", configs.memory_config(dims, ids, trained=True))
    _dump(folder / "preprocessor_config.json", configs.image_processor(dims.memory_tower))


def tower_of(weights: Mapping[str, Tensor], dims: FamilyDims) -> ClipTower:
    """The frozen tower among the tensors of ``memory/``."""
    tower = ClipTower(dims.memory_tower)
    tower.load_state_dict({n: weights[MEMORY_PREFIX + n].float() for n in tower.state_dict()})
    return tower.eval().requires_grad_(False)


def begin_from(trainer: MemoryTrainer, weights: Mapping[str, Tensor]) -> None:
    """Take the tensors of ``memory/``, once the projector's scaling is measured."""
    language = trainer.model.language
    language.load_state_dict({n: weights[f"model.{n}"].float() for n in language.state_dict()})
    names = trainer.model.projector.tensors()
    trainer.model.projector.set_tensors({n: weights[PROJECTOR_PREFIX + n] for n in names})


def memory_tensors(trainer: MemoryTrainer, tower: ClipTower) -> dict[str, Tensor]:
    """Every tensor of ``memory/`` by its name.

    The head is in every such checkpoint and memory never uses it (spec §1.7): it is the embedding.
    """
    language = trainer.model.language.state_dict()
    tensors = {f"model.{name}": value for name, value in language.items()}
    for name, value in trainer.model.projector.tensors().items():
        tensors[PROJECTOR_PREFIX + name] = value
    for name, value in tower.state_dict().items():
        tensors[MEMORY_PREFIX + name] = value
    return {**tensors, "lm_head.weight": language["embed_tokens.weight"].clone()}


def _card(plan: MemoryPlan, seed: int, progress: Progress, start: Path | None) -> dict[str, Any]:
    return {
        "stage": "memory",
        "seed": seed,
        "began": "from drawn weights" if start is None else "from trained weights",
        "plan": dataclasses.asdict(plan),
        "worlds": plan.worlds + (plan.lessons - 1) // plan.steps_per_world,
        "minutes": round(progress.seconds / 60, 1),
        "curve": progress.curve,
    }


def _dump(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
