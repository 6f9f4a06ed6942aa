"""How long and how fast the memory learns, and what each step of it is. Data only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Round:
    """Lessons under one learning rate, which rises and falls once: easy, then whole ones.

    Attributes:
        cards: steps on single frames.
        thinned: lessons with clips of a few frames.
        whole: lessons with whole clips.
        practice: steps on clips of many worlds at once.
        rate: highest learning rate.
        keeps: whether H is to stay what it was before the first such round. Whoever reads H may
            then be trained on what the rounds before it wrote.
    """

    cards: int
    thinned: int
    whole: int
    rate: float
    keeps: bool = False
    practice: int = 0

    @property
    def lessons(self) -> int:
        """All of them."""
        return self.cards + self.thinned + self.whole + self.practice


PRACTICE = Round(cards=0, thinned=0, whole=0, rate=1.2e-3, keeps=True, practice=2600)


@dataclass(frozen=True)
class MemoryPlan:
    """How long and how fast the memory learns.

    Attributes:
        projector_steps: steps of the projector alone, on ``projector_clips`` clips each.
        rounds: what comes after that.
        card_worlds, card_questions: of a step on single frames, one of each scene.
        thinned_frames: most frames of a thinned clip.
        worlds: kept at a time; one is replaced every ``steps_per_world`` lessons.
        visit_every: steps of practice from one visit to a world to the next.
        check_every: lessons from one look at the recall to the next.
    """

    projector_steps: int = 700
    projector_clips: int = 16
    projector_rate: float = 1.5e-3
    rounds: tuple[Round, ...] = (
        Round(cards=450, thinned=300, whole=250, rate=1.5e-3),
        PRACTICE,
    )
    card_worlds: int = 2
    card_questions: int = 40
    thinned_frames: int = 4
    worlds: int = 48
    steps_per_world: int = 6
    visit_every: int = 4
    check_every: int = 200

    @property
    def lessons(self) -> int:
        """Steps after the projector's own."""
        return sum(one.lessons for one in self.rounds)

    @property
    def steps(self) -> int:
        """All steps."""
        return self.projector_steps + self.lessons

    def round_of(self, lesson: int) -> tuple[Round, int]:
        """The round a lesson belongs to, and its number within it."""
        for one in self.rounds:
            if lesson < one.lessons:
                return one, lesson
            lesson -= one.lessons
        raise ValueError(f"the plan has {self.lessons} lessons")


DEFAULT_PLAN = MemoryPlan()

GOING_ON = MemoryPlan(projector_steps=0, rounds=(PRACTICE,))
"""The plan of a run that begins from trained weights."""
