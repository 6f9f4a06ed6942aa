"""Keeps the warnings of a source few: the first of each kind one by one, then a count."""

from __future__ import annotations

from collections import Counter

from omnilive.sources.types import SourceWarning


class Warner:
    """Decides which warnings are told."""

    def __init__(self, per_kind: int) -> None:
        """Tell ``per_kind`` warnings of a kind, then count."""
        self._per_kind = per_kind
        self._seen: Counter[str] = Counter()

    def warning(self, pts_us: int, kind: str, what: str) -> SourceWarning | None:
        """The warning to pass on, or None when enough of its kind were."""
        self._seen[kind] += 1
        return SourceWarning(pts_us, what) if self._seen[kind] <= self._per_kind else None

    def summaries(self, pts_us: int) -> list[SourceWarning]:
        """One closing warning for each kind that was cut short, in the order they first came."""
        return [
            SourceWarning(pts_us, f"{seen - self._per_kind} more warnings about {kind}")
            for kind, seen in self._seen.items()
            if seen > self._per_kind
        ]
