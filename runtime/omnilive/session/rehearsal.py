"""A rehearsal: a session on a made stream, so that the first real one finds everything warm.

It has the shapes a session has: pictures of a camera's size, a clip as long as clips get, a spoken
question and a typed one, their evidence, prompt, prefill, tokens and speech.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnilive.config import RuntimeConfig
from omnilive.engine.pack import EnginePack
from omnilive.eventlog import Listener
from omnilive.session.asking import Ask
from omnilive.session.session import RunOptions, Session
from omnilive.sources.types import (
    SAMPLE_RATE_HZ,
    US_PER_SECOND,
    Frame,
    MediaInfo,
    Pcm,
    samples_to_us,
    us_to_samples,
)
from omnilive.speech.espeak import EspeakVoice

SIZE = (720, 1280)
"""Height and width of its pictures: what cameras and browsers send."""

SPEECH_AT_S = 1
QUESTION = "What do you see now?"
TOKENS = 2
"""Of each answer: a prefill and decode steps are what is to be warm."""

BLOCK_SAMPLES = SAMPLE_RATE_HZ // 10


def rehearse(pack: EnginePack, config: RuntimeConfig, listeners: tuple[Listener, ...] = ()) -> None:
    """Run it in virtual time; nothing of it is kept.

    Args:
        pack: loaded engines.
        config: of the sessions that follow.
        listeners: told of its events.

    Raises:
        OmniLiveError: a stage fails.
    """
    config = dataclasses.replace(
        config,
        # Whatever the recognizer makes of the words is answered.
        instruction=dataclasses.replace(config.instruction, threshold=0.0),
        reasoning=dataclasses.replace(config.reasoning, max_new_tokens=TOKENS),
    )
    stream = MadeStream(config)
    asks = (Ask(QUESTION, stream.info.duration_us or 0),)
    with tempfile.TemporaryDirectory(prefix="omnilive-rehearsal-") as folder:
        session = Session(pack, config, RunOptions(), Path(folder), listeners)
        try:
            session.run(stream, asks)
        finally:
            session.close()


class MadeStream:
    """Noise for pictures, and a spoken question."""

    def __init__(self, config: RuntimeConfig) -> None:
        """As long as it takes to close a clip of the greatest length."""
        self._fps = config.source.fps
        self._frames = config.segmentation.clip_max + 2
        speech = EspeakVoice(config.voice).say(QUESTION, "en").samples
        start = SPEECH_AT_S * SAMPLE_RATE_HZ
        pause = us_to_samples((config.vad.endpoint_silence_ms + 1_000) * 1_000)
        length = round(self._frames / self._fps * SAMPLE_RATE_HZ)
        self._sound = np.zeros(max(length, start + len(speech) + pause), np.float32)
        self._sound[start : start + len(speech)] = speech
        height, width = SIZE
        self.info = MediaInfo(
            "rehearsal", samples_to_us(len(self._sound)), width, height, True, True
        )

    def __iter__(self) -> Iterator[Frame | Pcm]:
        """Frames and blocks of sound, in order of their end."""
        picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
        left = iter(range(self._frames))
        due = next(left, None)
        for at in range(0, len(self._sound), BLOCK_SAMPLES):
            block = Pcm(samples_to_us(at), self._sound[at : at + BLOCK_SAMPLES])
            while due is not None and due * US_PER_SECOND / self._fps < block.end_us:
                yield Frame(round(due * US_PER_SECOND / self._fps), picture)
                due = next(left, None)
            yield block

    def close(self) -> None:
        """See ``Source.close``; it holds nothing."""
