"""Whether questions are told from small talk: held-out sentences put to the instruction check.

Some come with the name of a background sound before them, as a session puts it. The words are
right here; with the words that were heard, ``aloud`` scores the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnilive.perception.audio_model import SoundClass, Transcript
from omnilive.perception.language import question_text
from omnilive.reasoning.instruction import InstructionCheck
from omnilive_micropack import grammar
from omnilive_micropack.seeds import generator
from omnilive_micropack.sounds import SYNTHESIZERS
from scoring.groups import Scale
from scoring.result import Item, Tallies, baseline_of, right
from scoring.seeding import test_seed
from scoring.variants import PACK, Variant

SENTENCES = 500
"""In a part, of each sort."""

SOUND_SHARE = 0.25


@dataclass(frozen=True)
class _Said:
    key: str
    text: str
    is_question: bool


class Instruction:
    """A ``Group``: see there."""

    name = "instruction"

    def __init__(self, seed: int, scale: Scale) -> None:
        self._seed = seed
        self._count = min(SENTENCES, scale.items)
        self.parts = math.ceil(scale.items / SENTENCES)
        self.identity = f"{self.name} {seed} {self._count}"

    def measures(self) -> tuple[str, ...]:
        """See ``Group``."""
        return ("fillers_unanswered", "questions_answered", "instruction_precision")

    def seconds(self, part: int) -> float:
        """See ``Group``."""
        return 20.0 * self._count / SENTENCES

    def wanted(self, variant: Variant) -> bool:
        """See ``Group``: the check sees words only, and no preset changes it."""
        return variant.role == PACK

    def score(
        self, part: int, variants: Sequence[Variant], folder: Path
    ) -> Iterator[tuple[Variant, Tallies]]:
        """See ``Group``."""
        said = _sentences(test_seed(self._seed, self.name, part), part, self._count)
        for variant in variants:
            check = InstructionCheck(variant.pack, variant.config.instruction)
            found: dict[str, list[Item]] = {name: [] for name in self.measures()}
            for name in self.measures():
                found[baseline_of(name)] = []
            for one in said:
                answered = check.is_instruction(check.judge(one.text).probability)
                # The baseline answers everything that is said.
                name = "questions_answered" if one.is_question else "fillers_unanswered"
                found[name].append(right(one.key, answered == one.is_question))
                found[baseline_of(name)].append(right(one.key, one.is_question))
                precise = Item(one.key, float(answered and one.is_question), float(answered))
                found["instruction_precision"].append(precise)
                found[baseline_of("instruction_precision")].append(right(one.key, one.is_question))
            yield variant, found


def _sentences(seed: int, part: int, count: int) -> list[_Said]:
    """``count`` held-out questions and as many held-out fillers and remarks."""
    rng = generator(seed, "instructions")
    left = {True: count, False: count}
    labels = sorted(SYNTHESIZERS)
    found: list[_Said] = []
    while any(left.values()):
        sentence = grammar.draw_held_out(rng, grammar.TEST)
        if not left[sentence.is_question]:
            continue
        left[sentence.is_question] -= 1
        sound = None
        if rng.random() < SOUND_SHARE:
            sound = SoundClass(labels[int(rng.integers(len(labels)))], 0, 0)
        text = question_text(Transcript(sentence.text, "en", 0, 0), sound)
        found.append(_Said(f"{part}.{len(found)}", text, sentence.is_question))
    return found
