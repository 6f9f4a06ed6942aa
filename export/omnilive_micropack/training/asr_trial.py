"""Measures an audio model in training on validation sentences. Test seeds are never touched here.

It decodes greedily in torch; the figures that count are measured through the engines.
"""

from __future__ import annotations

import torch
from torch import Tensor

from omnilive.perception.audio_model import CLASSIFY, TRANSCRIBE
from omnilive_micropack.audio_data import (
    CUT_BY_ENDPOINTER,
    Surroundings,
    record,
    sound_clip,
    surround,
)
from omnilive_micropack.grammar import VALIDATION, draw_held_out
from omnilive_micropack.seeds import generator
from omnilive_micropack.training.asr_batches import Texts
from omnilive_micropack.training.asr_loss import sequence
from omnilive_micropack.training.asr_model import AudioModel
from omnilive_micropack.vocabulary import SOUNDS
from omnilive_micropack.voices import draw_voice
from omnilive_micropack.word_errors import word_errors

UTTERANCES = 96
BATCH = 32
LONGEST = 18
"""Tokens written at most."""


def trial(model: AudioModel, texts: Texts, seed: int) -> dict[str, float]:
    """Word error rate with voices of training and of validation, and accuracy of sound classes."""
    model.eval()
    surroundings = Surroundings(seed + 1)
    rates = {}
    for name in ("training", "validation"):
        rng = generator(seed + 1, f"trial {name}")
        items = [(draw_held_out(rng, VALIDATION), draw_voice(rng, name)) for _ in range(UTTERANCES)]
        takes = sorted(record(items), key=lambda t: len(t.speech.samples))
        errors = words = 0
        for at in range(0, len(takes), BATCH):
            part = takes[at : at + BATCH]
            heard = [surround(t, CUT_BY_ENDPOINTER, surroundings, rng)[0] for t in part]
            for take, text in zip(part, greedy(model, texts, heard, TRANSCRIBE), strict=True):
                truth = take.sentence.text.split()
                errors += word_errors(truth, text.split())
                words += len(truth)
        rates[f"wer_{name}_voices"] = round(errors / words, 4)
    rng = generator(seed + 1, "trial sounds")
    labels = [SOUNDS[i % len(SOUNDS)] for i in range(96)]
    clips = [sound_clip(label, surroundings, rng, takes) for label in labels]
    named = greedy(model, texts, clips, CLASSIFY)
    rates["sounds"] = round(
        sum(a == b for a, b in zip(named, labels, strict=True)) / len(labels), 4
    )
    return rates


def greedy(model: AudioModel, texts: Texts, clips: list, instruction: str) -> list[str]:
    """What the model writes for each clip of float32 [n]."""
    samples = torch.tensor([len(c) for c in clips])
    pcm = torch.zeros(len(clips), int(samples.max()))
    for row, clip in zip(pcm, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    written: Tensor = torch.zeros(len(clips), 0, dtype=torch.long)
    with torch.no_grad():
        heard = model.hear(*model.features(pcm, samples))
        for _ in range(LONGEST):
            embeds, last = sequence(model, heard, instruction, texts, written)
            states, _ = model.decoder(embeds)
            row = (last + written.shape[1])[:, None, None].expand(-1, 1, states.shape[2])
            best = model.decoder.scores(states.gather(1, row))[:, 0].argmax(-1)
            written = torch.cat([written, best[:, None]], 1)
            if bool((written == texts.end).any(1).all()):
                break
    found = []
    for ids in written.tolist():
        found.append(texts.decode(ids[: ids.index(texts.end)] if texts.end in ids else ids))
    return found
