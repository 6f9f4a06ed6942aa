"""Layers that are stored in another format than the group they belong to.

It knows names and formats; it never sees a weight.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from omnilive_export.precision import LinearFormat

_WEIGHT = ".weight"


class LayerFormats:
    """The formats of single layers of a pack, and which of them were asked for.

    One object serves all graphs of a plan, so that a pattern that fits no layer can be told.

    Args:
        kept: patterns of ``engine.layer`` names, such as ``mem_vit.layers.0.fc2``, with the
            format of what they fit; the first that fits counts.
    """

    def __init__(self, kept: Iterable[tuple[str, LinearFormat]] = ()) -> None:
        self._kept = tuple(kept)
        self._used: set[str] = set()
        self._engines: set[str] = set()

    def of(self, engine: str, weight: str, group: LinearFormat) -> LinearFormat:
        """The format of the weight called ``weight`` in ``engine``, whose group has ``group``."""
        self._engines.add(engine)
        layer = f"{engine}.{weight.removesuffix(_WEIGHT)}"
        for pattern, fmt in self._kept:
            if fnmatchcase(layer, pattern):
                self._used.add(pattern)
                return fmt
        return group

    def unused(self) -> tuple[str, ...]:
        """Patterns for an engine that was planned which fit none of its layers."""
        return tuple(
            pattern
            for pattern, _ in self._kept
            if pattern not in self._used
            and any(fnmatchcase(engine, pattern.split(".", 1)[0]) for engine in self._engines)
        )
