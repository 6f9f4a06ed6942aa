"""What a quadrant of a frame shows, kind by kind: the labels the memory is trained on.

Arrays of truth; it knows no network.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnilive_micropack.facts import Box, FrameFacts, Seen
from omnilive_micropack.training.vision_labels import KINDS, MOST_COUNTED, WHEREABOUTS
from omnilive_micropack.vocabulary import COLOURS, FIGURES, OBJECTS

COLOUR_AT = 0
PLACE_AT = COLOUR_AT + len(COLOURS)
COUNT_AT = PLACE_AT + len(WHEREABOUTS)
HOLDER_AT = COUNT_AT + MOST_COUNTED
ATTRIBUTES = HOLDER_AT + len(FIGURES)
"""Colours, whereabouts, counts and holders of a kind, each true or false."""

PRESENT = ATTRIBUTES
"""Last column: whether the kind is there at all."""

SHARE_INSIDE = 0.25
"""Of a thing's box: what must lie in a quadrant for it to be there."""

SHARE_OF_PATCH = 0.3
"""Of a patch, or of a box smaller than that: what must be covered for a thing to be seen there."""

Bits = npt.NDArray[np.uint8]


def quadrant_bits(facts: FrameFacts, side: int) -> Bits:
    """Labels [side², kinds, ATTRIBUTES + 1] of a frame cut in side x side, row by row."""
    bits = np.zeros((side * side, len(KINDS), ATTRIBUTES + 1), np.uint8)
    for seen in facts.things:
        row = _bits(seen)
        for cell in range(side * side):
            if _inside(seen.box, cell // side, cell % side, side) >= SHARE_INSIDE:
                bits[cell, KINDS.index(seen.kind)] |= row
    return bits


def patch_pairs(facts: FrameFacts, side: int) -> Bits:
    """The pairs to be seen in each of a frame's side x side patches: uint8 [side², kinds].

    The colours of a kind are the bits of its byte.
    """
    pairs = np.zeros((side * side, len(OBJECTS)), np.uint8)
    for seen in facts.things:
        if seen.kind in OBJECTS:
            there = _overlap(seen.box, side) >= SHARE_OF_PATCH * min(_area(seen.box), side**-2)
            pairs[there.ravel(), OBJECTS.index(seen.kind)] |= 1 << COLOURS.index(seen.colour)
    return pairs


def unpacked(pairs: Bits) -> Bits:
    """Pairs [..., kinds] of ``patch_pairs`` as zeros and ones [..., kinds · colours]."""
    bits = np.unpackbits(pairs[..., None], axis=-1, bitorder="little")
    return bits.reshape(*pairs.shape[:-1], -1)


def _overlap(box: Box, side: int) -> npt.NDArray[np.float64]:
    """Area [side, side] of a box within each patch."""
    edges = np.linspace(0, 1, side + 1)
    left, top, right, bottom = box
    across = np.minimum(right, edges[1:]) - np.maximum(left, edges[:-1])
    down = np.minimum(bottom, edges[1:]) - np.maximum(top, edges[:-1])
    return np.outer(down.clip(0), across.clip(0))


def _area(box: Box) -> float:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


def _bits(seen: Seen) -> Bits:
    row = np.zeros(ATTRIBUTES + 1, np.uint8)
    row[COLOUR_AT + COLOURS.index(seen.colour)] = 1
    row[PLACE_AT + WHEREABOUTS.index(seen.place)] = 1
    row[COUNT_AT + min(seen.count, MOST_COUNTED) - 1] = 1
    if seen.holder is not None:
        row[HOLDER_AT + FIGURES.index(seen.holder)] = 1
    row[PRESENT] = 1
    return row


def _inside(box: Box, row: int, column: int, side: int) -> float:
    """Share of a box that lies in a cell."""
    left, top, right, bottom = box
    across = min(right, (column + 1) / side) - max(left, column / side)
    down = min(bottom, (row + 1) / side) - max(top, row / side)
    return max(0.0, across) * max(0.0, down) / ((right - left) * (bottom - top))
