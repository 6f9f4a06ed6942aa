"""Hearing, a hundred utterances at a time: words, words through the endpointer, sound classes.

What is said and how it is judged is in ``audio``; this file only deals it out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from omnilive_micropack.vocabulary import SOUNDS
from scoring import audio
from scoring.audio import NOISY, QUIET, Counted, Split
from scoring.groups import Scale
from scoring.result import Item, Tallies, baseline_of
from scoring.seeding import test_seed
from scoring.variants import ABLATION, AUDIO, PRESET, Variant, hearing_of

UTTERANCES = 100
"""In a part, per condition; sounds likewise."""


class Hearing:
    """A ``Group``: see there."""

    name = "hearing"

    def __init__(self, seed: int, scale: Scale) -> None:
        self._seed = seed
        self._count = min(UTTERANCES, scale.items)
        self.parts = math.ceil(scale.items / UTTERANCES)
        self.identity = f"{self.name} {seed} {self._count}"

    def measures(self) -> tuple[str, ...]:
        """See ``Group``."""
        return (
            "wer_seen_voices",
            "wer_held_out_voices",
            "wer_noise_10db",
            "wer_stream_20db",
            "sound_class",
        )

    def seconds(self, part: int) -> float:
        """See ``Group``."""
        return 60.0 * self._count / UTTERANCES

    def wanted(self, variant: Variant) -> bool:
        """See ``Group``: no preset and nothing but sound changes what is heard."""
        if variant.role == ABLATION:
            return AUDIO in variant.ablated
        return variant.role != PRESET

    def score(
        self, part: int, variants: Sequence[Variant], folder: Path
    ) -> Iterator[tuple[Variant, Tallies]]:
        """See ``Group``."""
        seed, count = test_seed(self._seed, self.name, part), self._count
        spoken = {
            "wer_seen_voices": list(
                audio.utterances(seed, count, Split.TEST, QUIET, seen_voices=True)
            ),
            "wer_held_out_voices": list(
                audio.utterances(seed, count, Split.TEST, QUIET, seen_voices=False)
            ),
            "wer_noise_10db": list(
                audio.utterances(seed, count, Split.TEST, NOISY, seen_voices=False)
            ),
        }
        for variant in variants:
            model = hearing_of(variant)
            found = {
                name: _items(part, audio.transcripts(model, iter(items)))
                for name, items in spoken.items()
            }
            found["wer_stream_20db"] = _items(
                part, audio.stream_transcripts(model, seed, count, Split.TEST)
            )
            sounds = audio.sound_classes(model, seed, count, Split.TEST)
            found["sound_class"] = [
                Item(f"{part}.{i}", one.of - one.wrong, one.of) for i, one in enumerate(sounds)
            ]
            found[baseline_of("sound_class")] = [
                Item(item.key, 1 / len(SOUNDS)) for item in found["sound_class"]
            ]
            yield variant, found


def _items(part: int, counted: Sequence[Counted]) -> list[Item]:
    return [Item(f"{part}.{i}", one.wrong, one.of) for i, one in enumerate(counted)]
