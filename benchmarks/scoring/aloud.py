"""Questions asked aloud: whole sessions on rendered streams, from microphone and camera to answer.

The session gets the video file and nothing else, in virtual time; what it logged is compared with
the truth when it is over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

import numpy as np

from omnilive.events import Event
from omnilive.session.session import RunOptions, Session
from omnilive.sources.media import MediaSource, open_media
from omnilive.sources.types import Frame, Pcm, SourceWarning
from omnilive_micropack.outcomes import Outcome, outcomes
from omnilive_micropack.programme import plan
from omnilive_micropack.questions import KINDS
from omnilive_micropack.render import STREAM_NAME, render_stream
from omnilive_micropack.story import make_world
from omnilive_micropack.truth import StreamTruth
from omnilive_micropack.wording import is_accepted
from scoring.groups import Scale
from scoring.result import Item, Tallies, baseline_of, right
from scoring.seeding import test_seed
from scoring.variants import AUDIO, Variant
from scoring.watching import Answering, keyframe_store

QUESTIONS_PER_SECOND = 0.085
"""At least so many are asked in a second of stream."""


class Aloud:
    """A ``Group``: see there."""

    name = "aloud"

    def __init__(self, seed: int, scale: Scale) -> None:
        self._seed = seed
        self._seconds = scale.aloud_s
        self.parts = max(1, math.ceil(scale.items / (QUESTIONS_PER_SECOND * scale.aloud_s)))
        self.identity = f"{self.name} {seed} {self._seconds}"

    def measures(self) -> tuple[str, ...]:
        """See ``Group``."""
        return (*(f"aloud_{kind}" for kind in KINDS), "aloud_fillers")

    def seconds(self, part: int) -> float:
        """See ``Group``."""
        return 0.15 * self._seconds

    def wanted(self, variant: Variant) -> bool:
        """See ``Group``: everything counts here."""
        return True

    def score(
        self, part: int, variants: Sequence[Variant], folder: Path
    ) -> Iterator[tuple[Variant, Tallies]]:
        """See ``Group``."""
        world = make_world(test_seed(self._seed, self.name, part), self._seconds)
        programme = plan(world, spoken=True)
        truth = render_stream(
            folder / STREAM_NAME,
            world,
            programme.spoken,
            asked=programme.asked,
            sounds=programme.sounds,
        )
        for i, variant in enumerate(variants):
            heard = _heard(variant, folder / STREAM_NAME, truth, folder / f"run-{i}")
            blind = Answering(
                variant.pack, variant.config, keyframe_store(folder / "none", variant.config)
            )
            yield variant, _items(part, heard, blind)


def _heard(variant: Variant, video: Path, truth: StreamTruth, folder: Path) -> list[Outcome]:
    options = RunOptions(preset=variant.preset)
    log: list[Event] = []
    session = Session(
        variant.pack,
        variant.config,
        options,
        folder,
        (lambda event_id, at_us, event: log.append(event),),
    )
    try:
        with closing(open_media(str(video), variant.config.source)) as media:
            silenced = cast(MediaSource, Silenced(media))
            session.run(silenced if AUDIO in variant.ablated else media)
    finally:
        session.close()
    return outcomes(truth, log)


def _items(part: int, heard: Sequence[Outcome], blind: Answering) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for outcome in heard:
        key = f"{part}.{outcome.at_s:.3f} {outcome.said}"
        if outcome.asked is None:
            found.setdefault("aloud_fillers", []).append(right(key, outcome.right))
            continue
        question = outcome.asked.question
        name = f"aloud_{question.kind}"
        guess = blind.answer_unseeing(question.text)
        found.setdefault(name, []).append(right(key, outcome.right))
        found.setdefault(baseline_of(name), []).append(
            right(key, is_accepted(guess, question.accepted))
        )
    return found


class Silenced:
    """What a session uses of a media source; its sound is silence of the same length."""

    def __init__(self, media: MediaSource) -> None:
        self._media = media
        self.info = media.info

    def __iter__(self) -> Iterator[Frame | Pcm | SourceWarning]:
        """The items of the source, every block of sound silent."""
        for item in self._media:
            if isinstance(item, Pcm):
                yield Pcm(item.pts_us, np.zeros_like(item.samples))
            else:
                yield item

    def close(self) -> None:
        """Close the source."""
        self._media.close()
