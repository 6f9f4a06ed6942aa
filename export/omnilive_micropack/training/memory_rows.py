"""Rows of long-term memory kept from recent lessons, and questions asked of them.

What is to be seen now is shown by the clip of the newest row; what changed here, by the rows of the
newest scene in which somebody did something: the question's feature has to copy such a row. What
changed in another room has to be found by its room instead. Rows in front are anybody's, so that no
sequence comes twice and none can be learned by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from omnilive_micropack.asking_events import CHANGES
from omnilive_micropack.sightings import BROUGHT, CAME, LEFT, MOVED, TOOK
from omnilive_micropack.training.memory_asks import say_deed, say_present
from omnilive_micropack.training.memory_things import RIGHT, UNCLEAR, WRONG, Rights
from omnilive_micropack.vocabulary import ROOMS

ROWS = 1280

LENGTHS = ((2, 0.05), (4, 0.25), (8, 0.25), (16, 0.15), (28, 0.15), (32, 0.15))
"""Rows before the words, with how often: short sequences show soonest which row is meant."""

SORTS = (CAME, LEFT, MOVED, BROUGHT, TOOK)
"""Sorts of changes, in the order of a row's facts."""

HERE_SHARE, ELSEWHERE_SHARE = 0.5, 0.3
"""Of the questions: about a change here, where there is one; about a change in another room."""

ALL_REAL_SHARE = 0.6
"""Of the sequences: those whose rows in front are the real ones, if there are enough."""

EVENTFUL_SHARE = 0.7
"""Of the sequences: those that end in a scene where something changed."""

TRIES = 6
IN_SIGHT, NEARLY = 2, 1
CLIP, SCENE, ROOM, SOMEBODY, SIGHT = range(5)
COUNTS = SIGHT + len(SORTS)
COLUMNS = COUNTS + len(SORTS)

I64 = npt.NDArray[np.int64]
Rng = np.random.Generator


@dataclass(frozen=True)
class RowFacts:
    """What the clip of a row shows.

    Attributes:
        clip: number of the clip, the same one whenever it is remembered.
        scene: number of its scene.
        room: index of the room.
        somebody: whether a person is there.
        sight: of each of SORTS: IN_SIGHT, NEARLY (right before or after), or 0.
        counts: of each of SORTS: changes in its scene so far.
    """

    clip: int
    scene: int
    room: int
    somebody: bool
    sight: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RowQuestion:
    """A question, and which rows it means: right, wrong or unclear, int8 [filled]."""

    text: str
    right: Rights


@dataclass(frozen=True, eq=False)
class RowQuestions:
    """Questions, each after rows of its own.

    Attributes:
        rows: positions of the rows before each, oldest first: int64 [questions, length].
    """

    asked: tuple[RowQuestion, ...]
    rows: I64


class Rows(nn.Module):
    """Long-term memory and Ĥ of recent runs of clips, the oldest run overwritten."""

    long_term: Tensor
    globals_: Tensor
    facts: Tensor
    count: Tensor
    next: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("long_term", torch.zeros(ROWS, width))
        self.register_buffer("globals_", torch.zeros(ROWS, width))
        self.register_buffer("facts", torch.zeros(ROWS, COLUMNS, dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))

    @property
    def filled(self) -> int:
        """How many rows there are."""
        return int(self.count)

    @property
    def newest(self) -> int:
        """Position of the row added last."""
        return int(self.next) - 1

    def add(self, long_term: Tensor, globals_: Tensor, facts: Sequence[RowFacts]) -> None:
        """Take a run of rows [K, C] in, in order of time."""
        start = int(self.next)
        if start + len(facts) > ROWS:
            start = 0
        at = slice(start, start + len(facts))
        self.long_term[at] = long_term.detach().float()
        self.globals_[at] = globals_.detach().float()
        self.facts[at] = torch.tensor(
            [[f.clip, f.scene, f.room, f.somebody, *f.sight, *f.counts] for f in facts]
        )
        self.next.fill_(at.stop)
        self.count.fill_(max(self.filled, at.stop))

    def some(self, rng: Rng, most: int) -> Tensor:
        """Up to ``most`` rows of long-term memory [K, C]: anybody's, or a stretch of them."""
        count = int(rng.integers(1, most + 1))
        if rng.random() < ALL_REAL_SHARE:
            return self.long_term[rng.integers(self.filled, size=count)]
        end = int(rng.integers(min(count, self.filled), self.filled + 1))
        return self.long_term[max(0, end - count) : end]

    def draw(self, rng: Rng, count: int) -> RowQuestions:
        """``count`` questions at most, all after equally many rows."""
        lengths, shares = zip(*LENGTHS, strict=True)
        length = int(rng.choice(lengths, p=shares))
        facts = self._facts()
        eventful = facts[:, COUNTS:].any(axis=1).nonzero()[0]
        asked, rows = [], []
        for _ in range(count):
            some = (
                eventful if len(eventful) and rng.random() < EVENTFUL_SHARE else range(len(facts))
            )
            end = int(rng.choice(some))
            real = end - _first(facts, end, length) + 1
            if end >= length - 1 and rng.random() < ALL_REAL_SHARE:
                real = length
            question = _ask(facts, end, real, rng)
            if question is not None:
                others = rng.integers(len(facts), size=length - real)
                asked.append(question)
                rows.append(np.concatenate([others, np.arange(end - real + 1, end + 1)]))
        return RowQuestions(tuple(asked), np.array(rows, np.int64))

    def about_newest(self, rng: Rng, window: int, count: int) -> list[RowQuestion]:
        """Up to ``count`` questions after the ``window`` rows added last, no two alike."""
        facts = self._facts()
        asked = [_ask(facts, self.newest, window, rng) for _ in range(count)]
        return list({one.text: one for one in asked if one is not None}.values())

    def _facts(self) -> I64:
        return self.facts[: self.filled].numpy()


def _first(facts: I64, end: int, length: int) -> int:
    """First of the ``length`` rows up to ``end`` that shows the scene of row ``end``."""
    first = end
    while first > max(0, end - length + 1) and facts[first - 1, SCENE] == facts[end, SCENE]:
        first -= 1
    return first


def _ask(facts: I64, end: int, real: int, rng: Rng) -> RowQuestion | None:
    """A question when row ``end`` is the newest and ``real`` rows up to it are known."""
    share = rng.random()
    found = None
    if share < HERE_SHARE:
        found = _ask_here(facts, _first(facts, end, real), end, rng)
    elif share < HERE_SHARE + ELSEWHERE_SHARE:
        found = _ask_elsewhere(facts, end, rng)
    return found or _ask_present(facts, end, rng)


def _ask_here(facts: I64, first: int, end: int, rng: Rng) -> RowQuestion | None:
    """What changed here, if there was one change of that sort and it can still be known."""
    for form in rng.permutation(list(CHANGES)):
        sight = SIGHT + _sorts(str(form))
        if facts[end, sight + len(SORTS)].sum() != 1:
            continue
        seen = facts[first : end + 1, sight].max(axis=1)
        if IN_SIGHT not in seen:
            continue
        right = np.full(len(facts), WRONG, np.int8)
        for level, meant in ((NEARLY, UNCLEAR), (IN_SIGHT, RIGHT)):
            clips = facts[first : end + 1, CLIP][seen == level]
            right[np.isin(facts[:, CLIP], clips)] = meant
        text = say_deed(rng, ROOMS[facts[end, ROOM]], str(form))
        return None if text is None else RowQuestion(text, right)
    return None


def _ask_elsewhere(facts: I64, end: int, rng: Rng) -> RowQuestion | None:
    """What changed in a room that is not shown now."""
    for _ in range(TRIES):
        form = list(CHANGES)[int(rng.integers(len(CHANGES)))]
        seen = facts[:, SIGHT + _sorts(form)].max(axis=1)
        rooms = facts[(seen == IN_SIGHT) & (facts[:, ROOM] != facts[end, ROOM]), ROOM]
        if not len(rooms):
            continue
        room = int(rng.choice(rooms))
        levels = np.array([WRONG, UNCLEAR, RIGHT], np.int8)
        right = np.where(facts[:, ROOM] == room, levels[seen], np.int8(WRONG))
        text = say_deed(rng, ROOMS[room], form, elsewhere=True)
        return None if text is None else RowQuestion(text, right)
    return None


def _ask_present(facts: I64, end: int, rng: Rng) -> RowQuestion | None:
    text = say_present(rng, ROOMS[facts[end, ROOM]], bool(facts[end, SOMEBODY]))
    right = np.where(facts[:, CLIP] == facts[end, CLIP], np.int8(RIGHT), np.int8(WRONG))
    return None if text is None else RowQuestion(text, right)


def _sorts(form: str) -> I64:
    return np.array([SORTS.index(sort) for sort in CHANGES[form]], np.int64)
