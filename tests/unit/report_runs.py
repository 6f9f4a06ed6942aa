"""Synthetic runs for the tests of the report and the benchmark: logs and keyframes on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from omnilive import events
from omnilive.events import Event, to_json
from omnilive.memory.keyframes import keyframe_id

S = 1_000_000
PERIOD_US = S


@dataclass
class RunWriter:
    """Collects (time, event, wall time, stage), and writes them in order of time."""

    rows: list[tuple[int, Event, int | None, str]] = field(default_factory=list)
    keyframes: dict[int, tuple[int, int]] = field(default_factory=dict)
    more_times: list[tuple[Event, str, int]] = field(default_factory=list)

    def add(self, at_us: int, event: Event, wall_us: int | None = None, stage: str = "") -> None:
        self.rows.append((at_us, event, wall_us, stage or event.kind))

    def time(self, event: Event, stage: str, wall_us: int) -> None:
        """Time one more stage that led to ``event``, which is added."""
        self.more_times.append((event, stage, wall_us))

    def lines(self) -> tuple[list[str], list[str]]:
        """Lines of events.jsonl and of timings.jsonl."""
        logged, timed = [], []
        for i, (at_us, event, wall_us, stage) in enumerate(sorted(self.rows, key=_at), 1):
            logged.append(to_json(i, at_us, event))
            times = [] if wall_us is None else [(stage, wall_us)]
            times += [(s, us) for timed_event, s, us in self.more_times if timed_event is event]
            timed += [json.dumps({"event": i, "stage": s, "wall_us": us}) for s, us in times]
        return logged, timed

    def write(self, folder: Path) -> Path:
        """Write both logs and the keyframes into ``folder``."""
        (folder / "keyframes").mkdir(parents=True, exist_ok=True)
        logged, timed = self.lines()
        for name, lines in (("events.jsonl", logged), ("timings.jsonl", timed)):
            text = "".join(f"{line}\n" for line in lines)
            (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass")
        for pts_us, (scene, step) in self.keyframes.items():
            _picture(scene, step).save(
                folder / "keyframes" / f"{keyframe_id(pts_us)}.jpg", quality=85
            )
        return folder

    def start(
        self,
        duration_us: int | None,
        *,
        video: bool = True,
        audio: bool = True,
        trained: bool = False,
        clock: str = "virtual",
    ) -> None:
        self.add(0, events.SessionStarted(1, "micro", "int4", trained, "edge", clock, 0))
        width, height = (640, 360) if video else (0, 0)
        self.add(0, events.SourceOpened("kitchen.mp4", duration_us, width, height, video, audio))

    def clips(self, lengths: list[int], *, pictures: bool = True) -> int:
        """Frames one second apart in clips of so many frames, the last one left open. The end."""
        pts = 0
        for clip, length in enumerate(lengths):
            begun = pts
            for step in range(length):
                cosine = None if pts == 0 else 0.42 if step == 0 else 0.97 + 0.01 * (step % 3)
                at_us = pts + 25_000
                if step == 0 and clip:
                    self._close(clip - 1, begun - lengths[clip - 1] * PERIOD_US, at_us, lengths)
                self.add(
                    at_us,
                    events.FrameEncoded(pts, clip, cosine, keyframe_id(pts)),
                    9_000 + 40 * step,
                    "see",
                )
                if pictures:
                    self.keyframes[pts] = (clip, step)
                pts += PERIOD_US
        return pts

    def close_last(self, lengths: list[int], at_us: int) -> None:
        """Close the clip that ``clips`` left open."""
        self._close(
            len(lengths) - 1, (sum(lengths) - lengths[-1]) * PERIOD_US, at_us, lengths, "end"
        )

    def _close(
        self, clip: int, start_us: int, at_us: int, lengths: list[int], reason: str = "cut"
    ) -> None:
        frames = lengths[clip]
        end_us = start_us + frames * PERIOD_US
        self.add(at_us, events.ClipClosed(clip, start_us, end_us, frames, reason))
        self.add(
            at_us + 60_000,
            events.ClipCompressed(clip, 4 * frames, 40 * frames + 1),
            31_000,
            "compress",
        )
        self.add(at_us + 70_000, events.MemoryIntegrated(clip + 1, clip + 1), 4_000, "integrate")

    def hear(
        self,
        utterance: int,
        generation: int,
        start_us: int,
        end_us: int,
        text: str,
        *,
        language: str = "en",
        probability: float = 0.93,
        endpoint_us: int = 540_000,
    ) -> int:
        """An utterance up to its instruction check; returns when that was known."""
        ids = (utterance, generation)
        self.add(start_us + 160_000, events.SpeechStarted(*ids, start_us))
        self.add(
            start_us + 200_000, events.SoundClassified(*ids, "people talking"), 8_000, "classify"
        )
        decided = end_us + endpoint_us
        samples = (end_us - start_us) * 16 // 1000
        self.add(decided, events.SpeechEnded(*ids, start_us, end_us, samples, False))
        known = decided + 180_000
        self.add(
            known,
            events.Transcribed(*ids, text, language, False, len(text) // 4),
            52_000,
            "transcribe",
        )
        checked = known + 30_000
        self.add(
            checked,
            events.InstructionChecked(*ids, probability, probability >= 0.5),
            11_000,
            "instruction",
        )
        return checked

    def ground(
        self, utterance: int, generation: int, at_us: int, scores: list[float], chosen: list[int]
    ) -> int:
        self.add(
            at_us,
            events.Grounded(
                utterance,
                generation,
                "softmax_threshold",
                tuple(range(len(scores))),
                tuple(scores),
                tuple(chosen),
                "" if chosen else "last_frames",
            ),
            14_000,
            "ground",
        )
        return at_us

    def answer(
        self,
        utterance: int,
        generation: int,
        at_us: int,
        sentences: list[str],
        *,
        frames: tuple[str, ...] = (),
        language: str = "en",
        sentence_us: int = 2_400_000,
    ) -> int:
        """Evidence, tokens and sentences; returns where the last sentence ends."""
        ids = (utterance, generation)
        self.add(
            at_us,
            events.EvidenceChosen(*ids, frames, 5, 900, 121, 34, 1055, "tokens", 880.5, (), 0),
            70_000,
            "evidence",
        )
        at_us += 420_000
        speak_us, index, text = at_us, 0, ""
        for sentence in sentences:
            for word in sentence.split(" "):
                self.add(at_us, events.TokenDecoded(*ids, index, word + " "), 3_000, "decode")
                at_us += 45_000
                index += 1
            speak_us = max(speak_us, at_us + 40_000)
            text += sentence + " "
            self.add(
                at_us + 40_000,
                events.SentenceSpoken(*ids, sentence, speak_us, speak_us + sentence_us),
                21_000,
                "speak",
            )
            speak_us += sentence_us
        self.add(at_us, events.AnswerFinished(*ids, text.strip(), language, index, "stop"))
        return speak_us

    def end(self, at_us: int) -> None:
        self.add(at_us, events.SessionEnded(66, 0, 7, 5, 4, 1))


def kitchen_run(*, trained: bool = False, clock: str = "virtual") -> RunWriter:
    """A minute with questions, a filler, a barge-in, Chinese, a typed question, a dropped frame."""
    run = RunWriter()
    lengths = [9, 12, 7, 3, 16, 11, 8]
    run.start(66 * S, trained=trained, clock=clock)
    run.clips(lengths)
    run.add(12 * S, events.SourceNotice(12 * S, "timestamps jumped by 3.2 s and were re-anchored"))
    run.add(37 * S + 40_000, events.FrameDropped(37 * S))

    at = run.hear(0, 1, 6 * S, 7_200_000, "What do you see now?")
    run.ground(0, 1, at, [0.41], [0])
    run.answer(0, 1, at + 90_000, ["A kitchen with a red mug on the table."], frames=_ids(4, 7))
    at = run.hear(1, 2, 15 * S, 15_700_000, "um, okay", probability=0.07)
    run.add(at, events.Unanswered(1, 2, "filler"))
    at = run.hear(2, 3, 22 * S, 24_100_000, "Where did you see the red mug?")
    run.ground(2, 3, at, [0.71, 0.12, 0.36], [0, 2])
    run.answer(
        2,
        3,
        at + 90_000,
        ["On the kitchen table, next to the window.", "Later it stood by the sink."],
        frames=_ids(2, 9) + _ids(21, 23),
    )
    run.add(
        28_160_000,
        events.AnswerCancelled(
            2,
            3,
            4,
            "On the kitchen table, next to the window. Later it stood by the sink.",
            14,
            1_830_000,
        ),
    )
    at = run.hear(3, 4, 28 * S, 29_900_000, "Wait, who is in the <b>room</b> now?")
    run.ground(3, 4, at, [0.2, 0.31, 0.44], [2])
    run.answer(3, 4, at + 90_000, ["Nobody is in the room."], frames=_ids(27, 30))
    at = run.hear(4, 5, 40 * S, 41_800_000, "现在桌子上有什么？", language="zh")
    run.ground(4, 5, at, [0.22, 0.18, 0.27, 0.1, 0.52], [4])
    run.answer(4, 5, at + 90_000, ["桌子上有一个蓝色的盒子。"], frames=_ids(36, 41), language="zh")
    ids = (-1, 6)
    run.add(58 * S, events.Transcribed(*ids, "What changed in the last minute?", "en", True, 0))
    run.ground(*ids, 58_050_000, [0.3, 0.2, 0.33, 0.1, 0.4, 0.46, 0.12], [4, 5])
    run.answer(*ids, 58_140_000, ["The red mug moved to the sink."], frames=_ids(31, 58))
    run.close_last(lengths, 66 * S)
    run.end(66_200_000)
    return run


def _ids(first_s: int, last_s: int) -> tuple[str, ...]:
    return tuple(keyframe_id(s * S) for s in range(first_s, last_s))


def _at(row: tuple[int, Event, int | None, str]) -> int:
    return row[0]


def _picture(scene: int, step: int) -> Image.Image:
    """A wall, a table and a box whose colours tell the scene, and whose place tells the step."""
    rgb = np.empty((180, 320, 3), np.uint8)
    hue = np.array([(scene * 67) % 190, (scene * 131) % 190, (scene * 29 + 60) % 190])
    rgb[:] = 60 + hue
    rgb[110:] = hue // 2 + 30
    left = 20 + 14 * step
    rgb[80:118, left : left + 40] = 255 - hue
    return Image.fromarray(rgb)
