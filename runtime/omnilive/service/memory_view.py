"""What a session remembers, as its events tell it: clips, their keyframes, and what answers used.

Bounded: the oldest clips and answers are forgotten here; the memory itself is untouched by that.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from omnilive import events
from omnilive.events import Event

MOST_CLIPS = 2_000
MOST_ANSWERS = 500


@dataclass(slots=True)
class _Clip:
    start_us: int
    end_us: int
    keyframes: list[str] = field(default_factory=list)
    closed: bool = False


class MemoryView:
    """Takes every event of one session. Belongs to one thread."""

    def __init__(self) -> None:
        self._clips: OrderedDict[int, _Clip] = OrderedDict()
        self._answers: OrderedDict[tuple[int, int], dict[str, Any]] = OrderedDict()

    def take(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, events.FrameEncoded):
            clip = self._clips.setdefault(event.clip, _Clip(event.pts_us, event.pts_us))
            clip.end_us = event.pts_us
            clip.keyframes.append(event.keyframe)
            if len(self._clips) > MOST_CLIPS:
                self._clips.popitem(last=False)
        elif isinstance(event, events.ClipClosed):
            clip = self._clips.setdefault(event.clip, _Clip(event.start_us, event.end_us))
            clip.start_us, clip.end_us, clip.closed = event.start_us, event.end_us, True
        elif isinstance(event, events.EvidenceChosen):
            self._use(event.utterance, event.generation, list(event.clips), list(event.frames))
        elif isinstance(event, events.AnswerResumed):
            before = self._answers.get((event.utterance, event.from_generation))
            if before is not None:
                used = before["clips"], before["keyframes"]
                self._use(event.utterance, event.generation, *used)
        elif isinstance(event, events.SceneRefreshed):
            answer = self._answers.get((event.utterance, event.generation))
            if answer is not None:
                answer["keyframes"] = list(dict.fromkeys([*answer["keyframes"], *event.frames]))

    def knows(self, keyframe: str) -> bool:
        """Whether this is the id of a keyframe of the session."""
        return any(keyframe in clip.keyframes for clip in self._clips.values())

    def as_json(self) -> dict[str, Any]:
        """Clips in time order and which of them each answer used."""
        return {
            "clips": [
                {
                    "clip": index,
                    "start_us": clip.start_us,
                    "end_us": clip.end_us,
                    "closed": clip.closed,
                    "keyframes": clip.keyframes,
                }
                for index, clip in self._clips.items()
            ],
            "answers": list(self._answers.values()),
        }

    def _use(self, utterance: int, generation: int, clips: list[int], keyframes: list[str]) -> None:
        self._answers[utterance, generation] = {
            "utterance": utterance,
            "generation": generation,
            "clips": clips,
            "keyframes": keyframes,
        }
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)
