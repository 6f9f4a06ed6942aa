"""Records inputs of every engine from the miniature's own world, as the stages would make them.

The float32 reference runs the chain from pictures and speech to answers, so what an engine is
given does not depend on the pack that is judged. Calibration seeds only; it judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from omnilive._native import resize_rgb
from omnilive.engine.interface import F32, Table, Tokenizer
from omnilive.engine.kv_layout import present_name
from omnilive.engine.manifest import EngineInfo, Manifest
from omnilive.engine.pack import EnginePack
from omnilive.memory.compressor import whole_seconds
from omnilive.memory.config import CompressionConfig
from omnilive.perception.audio_model import AFTER_AUDIO, BEFORE_AUDIO, TRANSCRIBE
from omnilive.reasoning.config import MOST_TILES_PER_STEP, BudgetConfig, PromptConfig
from omnilive.reasoning.prompt import Prompt, PromptBuilder
from omnilive.reasoning.stitch import stitch
from omnilive.sources.types import US_PER_SECOND
from omnilive_export.accuracy.cases import Case, answer_rows, arena_feeds, language_feeds
from omnilive_export.accuracy.segments import SegmentedModel, Values
from omnilive_export.kv_int8 import KvRanges
from omnilive_export.plan_single import ENCODER, LM, LM_EMBED, VIT
from omnilive_micropack.painting import paint
from omnilive_micropack.question import Question
from omnilive_micropack.questions import KINDS, ask
from omnilive_micropack.seeds import CALIBRATION_SEEDS, generator
from omnilive_micropack.speech import SPEAKERS, speak
from omnilive_micropack.story import make_world
from omnilive_micropack.world import World

U8 = npt.NDArray[np.uint8]

FRAME_SIZE = (640, 360)
SCENE_SECONDS = (8.0, 12.0)
MAX_CLIP_FRAMES = 16
FRAMES_AT_ONCE = 4
SHOWN_FRAMES = 4
"""Frames in a prompt: the last ones before the question."""

EARLIEST_S = 5.0
LAST_S = 7.0
"""Questions begin between these, from the beginning and the end of a world."""

TRIES = 40
ENGLISH_TAG = "<|en|>"
END_OF_TURN = "<|im_end|>"


@dataclass(frozen=True)
class Scale:
    """How much is recorded.

    Attributes:
        seeds: worlds, of the calibration seeds.
        seconds: length of each.
        questions: asked about each world, answered by the reasoner.
        spoken: of those, how many are also spoken to the audio model.
        prompt_tokens: of the longest prompt; 0 for what the runtime's own budget gives.
    """

    seeds: tuple[int, ...]
    seconds: float
    questions: int
    spoken: int
    prompt_tokens: int = 0


FIRST_SEED = CALIBRATION_SEEDS.start + 500_000
"""Away from the seeds a cut threshold is fitted on."""

WHOLE = Scale(tuple(range(FIRST_SEED, FIRST_SEED + 3)), 24.0, 6, 3)
SMALL = Scale((FIRST_SEED,), 16.0, 1, 1, prompt_tokens=640)
"""For models of full size: every case costs a pass through billions of weights."""


@dataclass
class Recording:
    """Cases of each engine, as they were made, and the keys and values of each decoder.

    Attributes:
        cases: by engine.
        ranges: by decoder; empty unless they were asked for.
    """

    cases: dict[str, list[Case]] = field(default_factory=dict)
    ranges: dict[str, KvRanges] = field(default_factory=dict)

    def add(self, engine: str, feeds: Values, expected: Values) -> None:
        """Keep one case."""
        self.cases.setdefault(engine, []).append(Case(feeds, expected))


class _ReferenceEngine:
    """An engine of the float32 reference whose every run is recorded."""

    def __init__(
        self, info: EngineInfo, model: SegmentedModel, recording: Recording, ranged: bool
    ) -> None:
        self._info = info
        self._ranged = ranged
        self._model = model
        self._recording = recording

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """See ``Engine.run``."""
        return self.run_all([dict(feeds)])[0]

    def run_all(self, cases: Sequence[Values]) -> list[Values]:
        """Outputs of every case; a model in segments is read once for all of them."""
        wanted = [t.name for t in self._info.outputs]
        graph = self._model.graph
        layers = 0
        if self._ranged and self._info.kv is not None:
            layers = self._info.kv.layers
        arena = [present_name(i, part) for i in range(layers) for part in ("key", "value")]
        found = self._model.run([arena_feeds(graph, feeds) for feeds in cases], [*wanted, *arena])
        for number, (feeds, outputs) in enumerate(zip(cases, found, strict=True)):
            for i in range(layers):
                key, value = (outputs.pop(present_name(i, part)) for part in ("key", "value"))
                # Half of the cases: the other half then judges scales that have not seen it.
                if number % 2 == 0:
                    ranges = self._recording.ranges.setdefault(self._info.name, KvRanges())
                    ranges.add(i, key, value)
            self._recording.add(self._info.name, feeds, outputs)
        return found


class ReferencePack:
    """The part of an ``EnginePack`` that prompts are built with, its engines the reference's.

    Args:
        pack: the pack that is judged: its tables, tokenizers and manifest serve both sides.
        models: the reference of each engine.
        ranged: keep the ranges of the decoders' keys and values.
    """

    def __init__(
        self, pack: EnginePack, models: Mapping[str, SegmentedModel], *, ranged: bool
    ) -> None:
        self.recording = Recording()
        self.manifest = pack.manifest
        self._pack = pack
        self._engines = {
            name: _ReferenceEngine(pack.manifest.engines[name], model, self.recording, ranged)
            for name, model in models.items()
        }

    def engine(self, name: str) -> _ReferenceEngine:
        """See ``EnginePack.engine``; decoders too."""
        return self._engines[name]

    def table(self, name: str) -> Table:
        """See ``EnginePack.table``."""
        return self._pack.table(name)

    def tokenizer(self, name: str) -> Tokenizer:
        """See ``EnginePack.tokenizer``."""
        return self._pack.tokenizer(name)


def record(pack: ReferencePack, scale: Scale) -> Recording:
    """Run the chain over ``scale``, as far as the pack has the models for it."""
    manifest = pack.manifest
    worlds = [make_world(seed, scale.seconds, scene_seconds=SCENE_SECONDS) for seed in scale.seeds]
    asked = [_questions(world, scale.questions) for world in worlds]
    memories: list[list[F32]] = [[] for _ in worlds]
    if manifest.memory is not None:
        memories = [_remembered(pack, world) for world in worlds]
    if manifest.audio is not None:
        spoken = [q for questions in asked for q in questions[: scale.spoken]]
        _heard(pack, [q.text for q in spoken])
    if manifest.reasoner is not None:
        _answered(
            pack, worlds, asked, memories, BudgetConfig(max_prompt_tokens=scale.prompt_tokens)
        )
    _alone(pack, worlds, asked)
    return pack.recording


def _alone(
    pack: ReferencePack, worlds: Sequence[World], asked: Sequence[Sequence[Question]]
) -> None:
    """The engine of a pack of one model: pictures, speech or text of the same worlds."""
    engines = pack.manifest.engines
    if VIT in engines:
        given = engines[VIT].inputs[0]
        pixels = cast(int, given.shape[1])
        pictures = [paint(world, EARLIEST_S, FRAME_SIZE) for world in worlds]
        squares = [resize_rgb(picture, pixels, pixels)[None] for picture in pictures]
        pack.engine(VIT).run_all([{given.name: square} for square in squares])
    if ENCODER in engines:
        given = engines[ENCODER].inputs[0]
        texts = [questions[0].text for questions in asked]
        spoken = [speak(text, "en", SPEAKERS[0]) for text in texts]
        pack.engine(ENCODER).run_all([{given.name: pcm[None]} for pcm in spoken])
    if LM in engines and LM in pack.manifest.tokenizers:
        blocks = []
        for question in (q for questions in asked for q in questions):
            text = f"{question.text}? {question.answer}"
            embeds = pack.table(LM_EMBED).rows(pack.tokenizer(LM).encode(text))
            blocks.append(language_feeds(embeds, np.arange(len(embeds))))
        pack.engine(LM).run_all(blocks)


def _questions(world: World, count: int) -> list[Question]:
    """Questions of every kind in turn, as far as the world allows."""
    rng = generator(world.seed, "recorded questions")
    found: list[Question] = []
    for i in range(count * TRIES):
        if len(found) == count:
            break
        at_s = float(rng.uniform(EARLIEST_S, world.duration_s - LAST_S))
        question = ask(world, at_s, rng, KINDS[i % len(KINDS)])
        if question is not None:
            found.append(question)
    return found


def _remembered(pack: ReferencePack, world: World) -> list[F32]:
    """Short-term memory of each clip of a world, in order."""
    pixels = pack.manifest.memory.pixels
    squares = [
        resize_rgb(paint(world, float(second), FRAME_SIZE), pixels, pixels)
        for second in range(int(world.duration_s))
    ]
    batches: list[Values] = [
        {"frames": np.stack(squares[i : i + FRAMES_AT_ONCE])}
        for i in range(0, len(squares), FRAMES_AT_ONCE)
    ]
    encoded = pack.engine("mem_vit").run_all(batches)
    features = np.concatenate([outputs["features"] for outputs in encoded])
    spans = _clips(world, len(squares))
    projected = pack.engine("mem_proj").run_all([{"features": features[a:b]} for a, b in spans])
    prompt = CompressionConfig().prompt
    table, tokenizer = pack.table("mem_embed"), pack.tokenizer("memory")
    blocks: list[Values] = []
    for (start, stop), outputs in zip(spans, projected, strict=True):
        text = prompt.format(
            start=whole_seconds(start * US_PER_SECOND), end=whole_seconds(stop * US_PER_SECOND)
        )
        words = table.rows(tokenizer.encode(text))
        blocks.append({"inputs_embeds": np.concatenate([words, outputs["clip_embeds"]])[None]})
    hidden = pack.engine("mem_lm").run_all(blocks)
    slots = pack.manifest.memory.slots
    return [
        outputs["hidden"][0, -(slots * (stop - start) + 1) : -1]
        for (start, stop), outputs in zip(spans, hidden, strict=True)
    ]


def _clips(world: World, frames: int) -> list[tuple[int, int]]:
    """Frames [from, to) between the cuts, none longer than a clip may be."""
    cuts = [0, *(int(cut) for cut in world.cuts_s), frames]
    return [
        (begin, min(begin + MAX_CLIP_FRAMES, stop))
        for start, stop in pairwise(cuts)
        for begin in range(start, stop, MAX_CLIP_FRAMES)
    ]


def _heard(pack: ReferencePack, texts: Sequence[str]) -> None:
    """The texts spoken, and their transcripts teacher-forced."""
    spec = pack.manifest.audio
    table, tokenizer = pack.table("aud_embed"), pack.tokenizer("audio")
    before = table.rows(tokenizer.encode(BEFORE_AUDIO, allow_special=True))
    instruction = AFTER_AUDIO.format(instruction=TRANSCRIBE)
    after = table.rows(tokenizer.encode(instruction, allow_special=True))
    sounds = [
        speak(text, "en", SPEAKERS[i % len(SPEAKERS)])[: spec.max_samples]
        for i, text in enumerate(texts)
    ]
    encoded = pack.engine("aud_enc").run_all([{"pcm": pcm[None]} for pcm in sounds])
    blocks = []
    for text, outputs in zip(texts, encoded, strict=True):
        target = f"{ENGLISH_TAG} {text}{END_OF_TURN}"
        ids = tokenizer.encode(target, allow_special=True)
        prompt = np.concatenate([before, outputs["embeds"][0], after])
        embeds = np.concatenate([prompt, table.rows(ids[:-1])])
        blocks.append(language_feeds(embeds, answer_rows(len(prompt), len(ids))))
    pack.engine("aud_lm").run_all(blocks)


def _answered(
    pack: ReferencePack,
    worlds: Sequence[World],
    asked: Sequence[Sequence[Question]],
    memories: Sequence[Sequence[F32]],
    budget: BudgetConfig,
) -> None:
    """Every question with frames and memory before it, and its answer teacher-forced."""
    builder = PromptBuilder(
        cast(EnginePack, pack), PromptConfig(tiles_per_step=MOST_TILES_PER_STEP)
    )
    tokenizer = pack.tokenizer("reasoner")
    stop = pack.manifest.reasoner.stop_ids[0]
    table = pack.table("vlm_embed")
    blocks = []
    for world, questions, memory in zip(worlds, asked, memories, strict=True):
        for question in questions:
            prompt = _prompt(builder, pack.manifest, world, question, memory, budget)
            ids = [*tokenizer.encode(question.answer), stop]
            embeds = np.concatenate([prompt.embeds, table.rows(ids[:-1])])
            rows = answer_rows(len(prompt.embeds), len(ids))
            blocks.append(language_feeds(embeds, rows, prompt.plora_rows))
    pack.engine("vlm_lm").run_all(blocks)


def _prompt(
    builder: PromptBuilder,
    manifest: Manifest,
    world: World,
    question: Question,
    memory: Sequence[F32],
    limits: BudgetConfig,
) -> Prompt:
    """The prompt of a question, its picture the last frames before it."""
    last = int(question.asked_s)
    seconds = range(max(0, last - SHOWN_FRAMES + 1), last + 1)
    frames: list[U8] = [paint(world, float(second), FRAME_SIZE) for second in seconds]
    clips = list(memory)[: sum(start <= last for start, _ in _clips(world, int(world.duration_s)))]
    counts = builder.count_memory(0, [len(rows) for rows in clips], list(range(len(clips)))[::-1])
    budget = builder.plan(
        question.text,
        "en",
        [FRAME_SIZE] * len(frames),
        counts,
        limits,
        context_tokens=manifest.reasoner.max_positions // 2,
    )
    shown = [frames[i] for i in budget.frames]
    canvas = stitch(shown, manifest.reasoner.pixels) if shown else None
    assembly = builder.begin(question.text, "en", None, clips, canvas, budget)
    while not assembly.step():
        pass
    return assembly.prompt()
