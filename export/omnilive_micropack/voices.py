"""The voices users speak with: which ones training hears and which only measurements do.

Names and numbers only; ``aligned_speech.py`` makes them speak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

TRAINING_DIALECTS = (
    "en-us",
    "en",
    "en-029",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
)
HELD_OUT_DIALECTS = ("en-gb-x-rp", "en-us-nyc")

VALIDATION_VARIANTS = ("klatt4", "m8", "steph2", "edward2")
HELD_OUT_VARIANTS = ("Andrea", "RicishayMax3", "Storm", "Tweaky", "f4", "klatt6", "robosoft4")
TRAINING_VARIANTS = (
    *("", "Alex", "Alicia", "Andy", "Annie", "AnxiousAndy", "Denis", "Diogo", "Gene", "Gene2"),
    *("Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Reed"),
    *("RicishayMax", "RicishayMax2", "UniRobot", "adam", "anika", "anikaRobot", "announcer"),
    *("antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "croak", "david", "ed"),
    *("edward", "f1", "f2", "f3", "f5", "fast", "grandma", "grandpa", "gustave"),
    *("ian", "iven", "iven2", "iven3", "iven4", "john", "kaukovalta", "klatt", "klatt2"),
    *("klatt3", "klatt5", "linda", "m1", "m2", "m3", "m4", "m5", "m6", "m7"),
    *("marcelo", "max", "michel", "miguel", "mike2", "norbert", "pablo", "paul", "pedro"),
    *("quincy", "rob", "robert", "robosoft", "robosoft2", "robosoft3", "robosoft5"),
    *("robosoft6", "robosoft7", "robosoft8", "sandro", "shelby", "steph", "steph3"),
    *("travis", "victor", "zac"),
)
"""espeak-ng's variants; the empty one is the dialect's own voice. Whispering ones are left out."""

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "training": TRAINING_VARIANTS,
    "validation": VALIDATION_VARIANTS,
    "test": HELD_OUT_VARIANTS,
}

CHINESE_DIALECT = "cmn"

RATES_WPM = (125, 215)
PITCHES = (20, 85)
PITCH_RANGES = (20, 80)


@dataclass(frozen=True)
class Voice:
    """A speaker.

    Attributes:
        name: of espeak-ng, ``dialect`` or ``dialect+variant``.
        rate_wpm: words per minute.
        pitch: 0 to 100, 50 is normal.
        pitch_range: 0 is monotone, 50 is normal.
    """

    name: str
    rate_wpm: int = 150
    pitch: int = 50
    pitch_range: int = 50


def draw_voice(rng: np.random.Generator, part: str, language: str = "en") -> Voice:
    """A voice with a rate, pitch and range.

    Args:
        rng: where it is drawn from.
        part: ``training``; ``validation``, whose variants training never hears; ``test``, whose
            dialects training never hears either (Chinese has only one).
        language: ``en`` or ``zh``.
    """
    dialects = HELD_OUT_DIALECTS if part == "test" else TRAINING_DIALECTS
    dialect = CHINESE_DIALECT if language == "zh" else str(rng.choice(dialects))
    variant = str(rng.choice(VARIANTS[part]))
    return Voice(
        name=f"{dialect}+{variant}" if variant else dialect,
        rate_wpm=int(rng.integers(*RATES_WPM, endpoint=True)),
        pitch=int(rng.integers(*PITCHES, endpoint=True)),
        pitch_range=int(rng.integers(*PITCH_RANGES, endpoint=True)),
    )
