"""What users ask, as data: questions by kind, with slots for the world's words.

Both the speech the audio model learns and the questions the world asks are made of these
sentences. It draws no random number and knows nothing of what is true in a scene.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from omnilive_micropack.vocabulary import (
    ACTIONS,
    COLOURS,
    NUMBERS,
    OBJECTS,
    PEOPLE,
    PLACES,
    PLURALS,
    ROOMS,
)

SLOTS: Mapping[str, tuple[str, ...]] = {
    "object": OBJECTS,
    "other": OBJECTS,
    "objects": tuple(PLURALS.values()),
    "colour": COLOURS,
    "place": PLACES,
    "room": ROOMS,
    "person": PEOPLE,
    "action": ACTIONS,
    "number": NUMBERS[2:],
    "opener": ("um", "well", "okay", "hmm", "all right", "oh", "wait", "please", "hello"),
    "day": ("today", "tonight", "tomorrow", "yesterday", "later"),
    "meal": ("sandwich", "lunch", "soup", "dinner", "coffee"),
    "family": ("mother", "father", "sister", "brother", "friend", "children"),
    "nice": ("nice", "funny", "wonderful", "good", "cold", "dark", "heavy"),
    "part": ("morning", "evening", "night"),
}
"""What each slot may hold. ``other`` is an object that is not ``object``."""


@dataclass(frozen=True)
class Form:
    """Sentences that ask the same thing in different words.

    Attributes:
        kind: what is scored together: now, colour, count, where, when_order, changed, who,
            implicit, this, exists.
        templates: sentences in lower case without punctuation; slots in braces.
    """

    kind: str
    templates: tuple[str, ...]


FORMS: Mapping[str, Form] = {
    "now": Form(
        "now",
        (
            "what is {place} now",
            "what is {place}",
            "what do you see {place} now",
            "what can you see {place}",
            "tell me what is {place}",
            "which thing is {place} now",
        ),
    ),
    "colour": Form(
        "colour",
        (
            "what color is the {object}",
            "what color was the {object}",
            "what is the color of the {object}",
            "which color is the {object}",
            "tell me the color of the {object}",
        ),
    ),
    "count": Form(
        "count",
        (
            "how many {objects} are there",
            "how many {objects} do you see",
            "how many {objects} are there now",
            "how many {objects} can you count",
            "tell me how many {objects} you see",
        ),
    ),
    "where": Form(
        "where",
        (
            "where is the {object}",
            "where is the {colour} {object}",
            "where did you see the {object}",
            "where did you see the {colour} {object}",
            "where was the {object}",
            "where was the {colour} {object}",
            "tell me where the {object} is",
        ),
    ),
    "where_room": Form(
        "where",
        (
            "which room was the {object} in",
            "which room was the {colour} {object} in",
            "in which room did you see the {object}",
            "in which room did you see the {colour} {object}",
        ),
    ),
    "when": Form(
        "when_order",
        (
            "when did you see the {object}",
            "when did you see the {colour} {object}",
            "how long ago did you see the {object}",
        ),
    ),
    "what_before": Form(
        "when_order",
        (
            "what did you see before the {object}",
            "what was there before the {object}",
            "what came before the {colour} {object}",
        ),
    ),
    "what_after": Form(
        "when_order",
        (
            "what did you see after the {object}",
            "what was there after the {object}",
            "what came after the {colour} {object}",
        ),
    ),
    "order_before": Form(
        "when_order",
        (
            "was the {object} seen before the {other}",
            "did you see the {object} before the {other}",
            "was the {object} there before the {other}",
        ),
    ),
    "order_after": Form(
        "when_order",
        (
            "was the {object} seen after the {other}",
            "did you see the {object} after the {other}",
            "was the {object} there after the {other}",
        ),
    ),
    "what_changed": Form(
        "changed",
        (
            "what changed",
            "what has changed",
            "what changed in the {room}",
            "what has changed in the {room}",
            "tell me what changed",
        ),
    ),
    "what_moved": Form(
        "changed",
        ("what moved", "what has moved", "what moved in the {room}", "which thing moved"),
    ),
    "what_left": Form(
        "changed",
        ("what left", "what is gone", "what is missing in the {room}", "which thing is gone"),
    ),
    "what_came": Form(
        "changed",
        ("what is new", "what is new in the {room}", "what appeared", "which thing appeared"),
    ),
    "who_did": Form(
        "who",
        (
            "who {action} the {object}",
            "who {action} the {colour} {object}",
            "tell me who {action} the {object}",
            "which person {action} the {object}",
        ),
    ),
    "who_there": Form(
        "who",
        (
            "who is in the {room} now",
            "who was in the {room}",
            "who did you see in the {room}",
            "who is there now",
        ),
    ),
    "this": Form(
        "this",
        (
            "what is this",
            "what is that",
            "what am i holding",
            "what am i holding now",
            "what do you call this",
            "what do you call that",
            "tell me what this is",
        ),
    ),
    "exists": Form(
        "exists",
        (
            "did you see a {object}",
            "did you see a {colour} {object}",
            "have you seen a {object}",
            "have you seen a {colour} {object}",
            "was there a {object}",
            "was there a {colour} {object}",
            "have you seen my {colour} {object}",
        ),
    ),
}
"""Every form of question but the implicit ones, by name."""

IMPLICIT: Mapping[str, tuple[str, ...]] = {
    "umbrella": (
        "how is the weather",
        "how is the weather {day}",
        "how do i keep dry",
        "how do i keep dry {day}",
    ),
    "microwave": (
        "where can i heat my {meal}",
        "where can i warm my {meal}",
        "how can i heat my {meal}",
    ),
    "mug": (
        "what can i drink from",
        "what can my {family} drink from",
        "what can i drink from {day}",
    ),
    "book": ("what can i read", "what can i read {day}", "what can my {family} read {day}"),
    "key": (
        "how can i unlock the door",
        "how can my {family} unlock the door",
        "what can i unlock the door with",
    ),
    "clock": (
        "what time could i check it with",
        "how can i check the time",
        "where can i check the time",
    ),
    "telephone": (
        "how can i call my {family}",
        "how can i call my {family} {day}",
        "what can i call my {family} with",
    ),
    "guitar": (
        "what can i play music on",
        "what can my {family} play music on",
        "how can i play music {day}",
    ),
    "chair": (
        "where can i sit down",
        "where can my {family} sit down",
        "where can we sit down {day}",
    ),
    "plant": ("what needs water and sun", "what needs water {day}", "what needs sun {day}"),
    "cat": (
        "which animal likes milk",
        "which animal likes to drink milk",
        "what animal likes milk",
    ),
    "fish": ("which animal can swim", "what animal likes to swim", "which animal likes to swim"),
    "kite": (
        "what can i fly in the wind",
        "what can we fly {day}",
        "what can my {family} fly in the wind",
    ),
    "ball": ("what can i kick", "what can my {family} kick", "what can we kick {day}"),
    "suitcase": (
        "what can i pack my clothes in",
        "where can i pack my clothes",
        "where can my {family} pack clothes",
    ),
    "helmet": (
        "what protects my head",
        "how do i protect my head",
        "how can my {family} protect the head",
    ),
    "lamp": (
        "what gives light at night",
        "what gives me light {day}",
        "how can i get light at night",
    ),
    "bottle": (
        "what can i carry water in",
        "what can we carry water in {day}",
        "what can my {family} carry water in",
    ),
}
"""Questions that mean an object without naming it, by that object."""

_SLOT = re.compile(r"{(\w+)}")


def slots(template: str) -> tuple[str, ...]:
    """Names of a template's slots, in order."""
    return tuple(_SLOT.findall(template))


def fill(template: str, values: Mapping[str, str]) -> str:
    """A sentence: every slot replaced, and "a" become "an" before a vowel.

    Raises:
        KeyError: no value for a slot.
    """
    return re.sub(r"\ba (?=[aeiou])", "an ", _SLOT.sub(lambda slot: values[slot[1]], template))
