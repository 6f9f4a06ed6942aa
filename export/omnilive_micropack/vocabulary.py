"""The words of the miniature's world: what can be drawn, where it stands, what can be done.

Words only; how a thing looks is ``shapes.py``'s affair.
"""

from __future__ import annotations

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
    "hat",
    "bottle",
    "box",
    "phone",
    "guitar",
    "kite",
    "fish",
)
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
ROOMS = ("kitchen", "bedroom", "office", "garden", "hall", "garage")
PLACES = (
    "on the table",
    "on the left",
    "on the right",
    "in the middle",
    "on the floor",
    "on the shelf",
    "next to the door",
    "in front of the window",
)
FIGURES = ("man", "woman", "boy", "girl")
"""People that can be drawn."""

PEOPLE = (*FIGURES, "person")
ACTIONS = ("took", "moved", "brought", "opened", "dropped", "carried")
SOUNDS = (
    "Speech",
    "silence",
    "Bell",
    "Knock",
    "Applause",
    "Rain",
    "Siren",
    "Bark",
    "Engine",
    "Alarm",
)
