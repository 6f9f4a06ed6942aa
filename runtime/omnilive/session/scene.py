"""The scene: what the newest frame shows, and whether it still is what an answer was begun on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omnilive.engine.interface import F32
from omnilive.memory.clip import Keyframe
from omnilive.memory.segmentation import cosine_similarity


@dataclass(frozen=True, eq=False)
class Scene:
    """The newest frame at some moment.

    Attributes:
        vector: float32, what frames are compared by (``cut_vector``).
    """

    keyframe: Keyframe
    vector: F32


@dataclass(frozen=True, eq=False)
class Change:
    """Another scene than the one before.

    Attributes:
        cosine: how alike the two are.
    """

    scene: Scene
    cosine: float


class SceneWatch:
    """Tells whether the scene has changed, where it is asked for. Runs on the loop."""

    def __init__(self, newest: Callable[[], Scene | None], cut_cosine: float) -> None:
        """Two scenes differ when their cosine is at most ``cut_cosine``."""
        self._newest = newest
        self._cut_cosine = cut_cosine

    def now(self) -> Scene | None:
        """The newest frame, or None before the first."""
        return self._newest()

    def change_since(self, before: Scene | None) -> Change | None:
        """The scene now, if it is another than ``before``."""
        now = self._newest()
        if now is None or before is None or now is before:
            return None
        cosine = cosine_similarity(before.vector, now.vector)
        return Change(now, cosine) if cosine <= self._cut_cosine else None
