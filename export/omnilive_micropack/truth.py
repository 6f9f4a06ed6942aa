"""The truth about a rendered stream: what is shown, said and asked in it, and the right answers.

It is written beside the video and never read by what is measured.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from omnilive_micropack.question import Question
from omnilive_micropack.speech import SpokenItem, SpokenTruth
from omnilive_micropack.world import World


@dataclass(frozen=True)
class Asked:
    """A question of a stream.

    Attributes:
        item: what is said; None when it is to be typed.
    """

    question: Question
    item: SpokenItem | None


@dataclass(frozen=True)
class SoundEvent:
    """A background sound of a class of the vocabulary; stream seconds."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class StreamTruth:
    """What is in a rendered file ``name``; times are microseconds from its start."""

    name: str
    world: World
    duration_us: int
    cuts_us: tuple[int, ...]
    spoken: tuple[SpokenTruth, ...]
    asked: tuple[Asked, ...] = ()
    sounds: tuple[SoundEvent, ...] = ()


def truth_lines(truth: StreamTruth) -> str:
    """The truth as JSON lines of the types stream, cut, scene, thing, spoken, sound, question."""
    stream = {"name": truth.name, "seed": truth.world.seed, "duration_us": truth.duration_us}
    rows = [_row("stream", **stream)]
    rows += [_row("cut", cut_us=cut_us) for cut_us in truth.cuts_us]
    rows += _scene_rows(truth.world)
    spoken = {id(item.item): item for item in truth.spoken}
    for said in truth.spoken:
        rows.append(
            _row(
                "spoken",
                **dataclasses.asdict(said.item),
                start_us=said.start_us,
                end_us=said.end_us,
            )
        )
    for sound in truth.sounds:
        rows.append(
            _row(
                "sound",
                label=sound.label,
                start_us=_us(sound.start_s),
                end_us=_us(sound.end_s),
            )
        )
    rows += [_question_row(asked, spoken.get(id(asked.item))) for asked in truth.asked]
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def _row(row_type: str, /, **values: Any) -> dict[str, Any]:
    return {"type": row_type, **values}


def _scene_rows(world: World) -> list[dict[str, Any]]:
    rows = []
    for scene in world.scenes:
        times = {"start_us": _us(scene.start_s), "end_us": _us(scene.end_s)}
        rows.append(_row("scene", room=scene.room, **times))
        for thing in scene.things:
            rows.append(
                _row(
                    "thing",
                    id=thing.id,
                    kind=thing.kind,
                    colour=thing.colour,
                    room=scene.room,
                    stays=[[_us(stay.start_s), stay.place, stay.holder] for stay in thing.stays],
                    start_us=_us(thing.start_s),
                    end_us=_us(thing.end_s),
                )
            )
    return rows


def _question_row(asked: Asked, said: SpokenTruth | None) -> dict[str, Any]:
    """``asked_us`` is when its first word sounds, or when it is to be typed."""
    question = asked.question
    at_us = _us(question.asked_s)
    return _row(
        "question",
        kind=question.kind,
        form=question.form,
        text=question.text,
        spoken=said is not None,
        asked_us=at_us if said is None else said.start_us,
        end_us=at_us if said is None else said.end_us,
        evidence_us=[[_us(start_s), _us(end_s)] for start_s, end_s in question.evidence],
        answer=question.answer,
        accepted=list(question.accepted),
        implicit=question.implicit,
    )


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
