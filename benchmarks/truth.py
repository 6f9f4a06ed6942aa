"""What is really said in a source, and which logged utterance heard it. It reads no event log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnilive.errors import ConfigError


@dataclass(frozen=True)
class Spoken:
    """One spoken item: times of its first and last voiced samples, microseconds of the source."""

    start_us: int
    end_us: int
    text: str


@dataclass(frozen=True)
class Match:
    """Which utterances heard what was spoken.

    Attributes:
        onset_us: for each utterance that is the first to hear an item, where that item begins.
        end_us: for each utterance that is the last to hear an item, where that item ends.
        missed: items that no utterance heard.
        broken: items that more than one utterance heard.
    """

    onset_us: Mapping[int, int]
    end_us: Mapping[int, int]
    missed: int
    broken: int


def read_truth(path: Path) -> tuple[Spoken, ...]:
    """The ``spoken`` rows of a truth file as ``omnilive_micropack.render`` writes it, by time.

    Raises:
        ConfigError: it cannot be read, or a row is not of that form.
    """
    where = str(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"cannot be read ({e})", where=where, mend="Check the path given with --truth."
        ) from e
    spoken = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if row["type"] == "spoken":
                spoken.append(Spoken(int(row["start_us"]), int(row["end_us"]), str(row["text"])))
        except (ValueError, KeyError, TypeError) as e:
            raise ConfigError(
                f"line {number} is not a row of a truth file ({e!r})",
                where=where,
                mend='Write one JSON object per line: {"type": "spoken", "text": …,'
                ' "start_us": …, "end_us": …}.',
            ) from e
    return tuple(sorted(spoken, key=lambda s: s.start_us))


def match(spoken: Sequence[Spoken], heard: Mapping[int, tuple[int, int]]) -> Match:
    """Match by overlap in time.

    Args:
        spoken: what is said.
        heard: utterance → (onset, last voiced sample) as the log has it, microseconds.
    """
    onset: dict[int, int] = {}
    end: dict[int, int] = {}
    missed = broken = 0
    for item in spoken:
        hearers = sorted(
            (span[0], utterance)
            for utterance, span in heard.items()
            if span[0] < item.end_us and span[1] > item.start_us
        )
        if not hearers:
            missed += 1
            continue
        broken += len(hearers) > 1
        first, last = hearers[0][1], hearers[-1][1]
        onset[first] = min(item.start_us, onset.get(first, item.start_us))
        end[last] = max(item.end_us, end.get(last, item.end_us))
    return Match(onset, end, missed, broken)
