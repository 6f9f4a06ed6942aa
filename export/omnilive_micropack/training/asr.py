"""The audio stage: speech recognition and sound classes in the runtime's two prompts.

First the encoder alone learns which phoneme and word sounds in each frame; then the language
model learns to write the words down, its attention guided to where each one sounds; at the end
its weights are trained as their int4 selves. The labels come from espeak-ng's own events.
"""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omnilive_micropack import audio_data, configs, layout, text_tokenizers
from omnilive_micropack.corpus import corpus
from omnilive_micropack.dimensions import MICRO
from omnilive_micropack.grammar import TRAINING, draw_training, vocabulary
from omnilive_micropack.seeds import TRAINING_SEEDS, generator
from omnilive_micropack.training import common
from omnilive_micropack.training.asr_batches import BATCH, Batch, Batches, Texts
from omnilive_micropack.training.asr_loss import joint_loss, label_loss
from omnilive_micropack.training.asr_model import AudioModel
from omnilive_micropack.training.asr_trial import trial
from omnilive_micropack.voices import draw_voice


@dataclass(frozen=True)
class Plan:
    """How long and how fast the stage learns.

    Attributes:
        takes: utterances recorded for training.
        encoder_steps: steps of the encoder alone.
        cycles: steps and highest learning rate of each fall of the rate; after each one the
            model is as good as its steps so far allow.
        rounded_from: step at which the language model begins to train as its int4 self.
        sounds_every: one step of so many is on background sounds.
        mask_width, mask_frames: widest masked band of features, and stretch of frames.
    """

    takes: int = 24_000
    encoder_steps: int = 1_400
    cycles: tuple[tuple[int, float], ...] = ((3_600, 1.5e-3), (3_200, 1e-3))
    rounded_from: int = 3_000
    sounds_every: int = 10
    warm_up: int = 200
    weight_decay: float = 0.02
    clip: float = 1.0
    mask_width: int = 12
    mask_frames: int = 12
    masks: int = 2
    trial_every: int = 600
    save_every_s: float = 180.0

    @property
    def steps(self) -> int:
        """All steps."""
        return sum(steps for steps, _ in self.cycles)


QUICK = Plan(
    takes=24, encoder_steps=2, cycles=((4, 1e-3),), rounded_from=3, trial_every=8, save_every_s=0.0
)
"""For tests: every part of the stage, none of the learning."""


def record_takes(count: int, seed: int) -> list[audio_data.Take]:
    """The training utterances: sentences and voices that are not held out."""
    rng = generator(seed, "takes")
    words = vocabulary()
    items = []
    for _ in range(count):
        sentence = draw_training(rng, words)
        items.append((sentence, draw_voice(rng, TRAINING, sentence.language)))
    takes = audio_data.record(items)
    compact: list[audio_data.Take] = []
    while part := list(itertools.islice(takes, audio_data.BATCH_TAKES)):
        compact += _compact(part)
    return compact


def _compact(takes: list[audio_data.Take]) -> list[audio_data.Take]:
    """The takes in half the memory and in one piece.

    Tens of thousands are kept; as many holes in the heap made every allocation of a training step
    search for its place.
    """
    ends = np.cumsum([len(take.speech.samples) for take in takes])
    together = np.empty(int(ends[-1]), np.float16)
    compact = []
    for take, end in zip(takes, ends.tolist(), strict=True):
        part = together[end - len(take.speech.samples) : end]
        part[:] = take.speech.samples
        compact.append(replace(take, speech=replace(take.speech, samples=part)))
    return compact


class Heads(nn.Module):
    """Classifiers of frames; they teach the encoder and are not part of the checkpoint."""

    def __init__(self, width: int, words: int, phonemes: int) -> None:
        super().__init__()
        self.word = nn.Linear(width, words)
        self.phoneme_norm = nn.LayerNorm(width)
        self.phoneme = nn.Linear(width, phonemes)


def masked_features(mel: Tensor, plan: Plan, step: int) -> Tensor:
    """Features with a few bands and stretches of time blotted out by their mean."""
    rng = generator(step, "masks")
    mel = mel.clone()
    for item in mel:
        mean = float(item.mean())
        for _ in range(plan.masks):
            low = int(rng.integers(0, mel.shape[1] - plan.mask_width))
            item[low : low + int(rng.integers(0, plan.mask_width + 1))] = mean
            at = int(rng.integers(0, max(1, mel.shape[2] - plan.mask_frames)))
            item[:, at : at + int(rng.integers(0, plan.mask_frames + 1))] = mean
    return mel


def run(
    out: Path, *, seed: int = TRAINING_SEEDS.start, plan: Plan = Plan(), threads: int = 1
) -> None:
    """Train and write ``out/audio`` and ``out/card/asr.json``; goes on where it was stopped."""
    common.prepare(seed, threads)
    folder = out / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    ids = write_tokenizer(folder)
    texts = Texts(folder)
    takes = record_takes(plan.takes, seed)
    batches = Batches(takes, texts, seed)
    recorded_s = time.monotonic() - started
    model = AudioModel(MICRO)
    heads = Heads(MICRO.audio_encoder.width, batches.word_classes, batches.phoneme_classes)
    common.initialize(model, seed)
    common.initialize(heads, seed + 1)
    optimizer = torch.optim.AdamW(
        [p for m in (model, heads) for p in m.parameters() if p.requires_grad],
        lr=0.0,
        betas=(0.9, 0.98),
        weight_decay=plan.weight_decay,
    )
    parts = {"model": model, "heads": heads, "optimizer": optimizer}
    saver = common.Saver(out / "work" / "asr.pt", plan.save_every_s)
    progress = saver.load(parts)
    progress.runs.append({"from_step": progress.step, "plan": asdict(plan)})
    bar = common.Bar("asr", plan.steps)
    dtype = common.compute_dtype()
    note = ""
    while progress.step < plan.steps:
        begun = time.monotonic()
        step = progress.step
        rate = common.cycled_rate(step, plan.cycles, plan.warm_up)
        for group in optimizer.param_groups:
            group["lr"] = rate
        model.decoder.round_weights(step >= plan.rounded_from)
        losses = _losses(model, heads, batches, texts, plan, step, dtype)
        loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        optimizer.step()
        progress.step += 1
        progress.seconds += time.monotonic() - begun
        if len(losses) > 1:
            note = " ".join(f"{name} {value.item():.3f}" for name, value in losses.items())
        if progress.step % plan.trial_every == 0 and progress.step > plan.encoder_steps:
            progress.curve.append({"step": progress.step, **trial(model, texts, seed)})
            bar.show(progress, str(progress.curve[-1]), now=True)
        bar.show(progress, note)
        saver.save(parts, progress)
    saver.save(parts, progress, now=True)
    _write(folder, model, ids)
    card = _card(plan, seed, threads, takes, recorded_s, progress, dtype)
    (out / "card").mkdir(exist_ok=True)
    (out / "card" / "asr.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _losses(
    model: AudioModel,
    heads: Heads,
    batches: Batches,
    texts: Texts,
    plan: Plan,
    step: int,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    model.train()
    joint = step >= plan.encoder_steps
    on_sounds = joint and step % plan.sounds_every == 0
    batch: Batch = batches.sounds(step) if on_sounds else batches.speech(step)
    with torch.no_grad():
        mel, positions = model.features(batch.pcm, batch.samples)
        mel = masked_features(mel, plan, step)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        heard = model.hear(mel, positions)
        losses: dict[str, Tensor] = {}
        if not on_sounds:
            weight = 0.5 if joint else 1.0
            words, phonemes = (
                heads.word(heard.tokens),
                heads.phoneme(heads.phoneme_norm(heard.states)),
            )
            losses["word"] = weight * label_loss(words, batch.words)
            losses["phoneme"] = weight * label_loss(phonemes, batch.phonemes)
        if joint:
            losses |= joint_loss(model, heard, batch, texts)
    return losses


def write_tokenizer(folder: Path) -> configs.SpecialIds:
    """Write the tokenizer files of ``audio/``; the ids that its configuration mentions."""
    bpe = text_tokenizers.train_qwen_bpe(corpus(), MICRO.bpe_entries)
    ids = text_tokenizers.write_qwen_bpe(
        folder, bpe, text_tokenizers.AUDIO_SPECIALS, MICRO.audio_lm.positions
    )
    return configs.SpecialIds(
        memory_end_of_text=ids[text_tokenizers.END_OF_TEXT],
        audio_end_of_text=ids[text_tokenizers.END_OF_TEXT],
        audio_turn_end=ids[text_tokenizers.IM_END],
        audio_placeholder=ids[text_tokenizers.AUDIO_PLACEHOLDER],
    )


def _write(folder: Path, model: AudioModel, ids: configs.SpecialIds) -> None:
    """Write weights and configuration as a checkpoint's ``audio/`` has them."""
    for name, value in (
        ("config.json", configs.audio_config(MICRO, ids, trained=True)),
        ("generation_config.json", configs.audio_generation_config(ids)),
        ("preprocessor_config.json", configs.audio_preprocessor(MICRO)),
    ):
        text = json.dumps(value, indent=2, sort_keys=True) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    common.write_tensors(
        folder / "model.safetensors", model.state_dict(), list(layout.audio_tensors(MICRO))
    )


def _card(
    plan: Plan,
    seed: int,
    threads: int,
    takes: list[audio_data.Take],
    recorded_s: float,
    progress: common.Progress,
    dtype: torch.dtype,
) -> dict[str, Any]:
    seconds = sum(len(t.speech.samples) for t in takes) / configs.SAMPLE_RATE_HZ
    return {
        "stage": "asr",
        "seed": seed,
        "threads": threads,
        "computed_in": str(dtype),
        "runs": progress.runs,
        "batch": BATCH,
        "recorded_hours": round(seconds / 3600, 2),
        "voices": len({t.voice.name for t in takes}),
        "sentences": len({t.sentence.text for t in takes}),
        "recording_seconds": round(recorded_s, 1),
        "training_seconds": round(progress.seconds, 1),
        "curve": progress.curve,
    }
