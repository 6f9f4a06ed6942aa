"""The words of the miniature's world: what can be drawn, where it stands, what can be done.

Words only; how a thing looks is ``shapes.py``'s affair, and the sentences are ``templates.py``'s.
Words of one list are chosen to sound different from each other.
"""

from __future__ import annotations

from collections.abc import Mapping

OBJECTS = (
    "umbrella",
    "mug",
    "microwave",
    "ball",
    "lamp",
    "book",
    "key",
    "plant",
    "cat",
    "chair",
    "clock",
    "helmet",
    "bottle",
    "suitcase",
    "telephone",
    "guitar",
    "kite",
    "fish",
)
PLURALS: Mapping[str, str] = {kind: kind if kind == "fish" else f"{kind}s" for kind in OBJECTS}
"""What several objects of a kind are called."""

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
ROOMS = ("kitchen", "bedroom", "office", "garden", "hall")
PLACES = (
    "on the shelf",
    "by the window",
    "on the cupboard",
    "on the floor",
    "on the table",
    "by the door",
)
FIGURES = ("man", "woman", "boy", "girl")
"""People that can be drawn."""

PEOPLE = (*FIGURES, "person")
ACTIONS = ("took", "moved", "brought")
"""What a person does to an object: carries it away, to another place, or into the room."""

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

SPEECH, SILENCE = "Speech", "silence"
SOUNDS = (
    SPEECH,
    SILENCE,
    "Bell",
    "Knock",
    "Applause",
    "Rain",
    "Siren",
    "Bark",
    "Engine",
    "Alarm",
)
"""Classes of the background sound, as the audio model names them."""
