"""What turn-taking must show, and whether it does. It measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from turn_endpoints import Endpoints
from turn_stopping import Stopping

STOP_SLACK_MS = 5.0
STALE_SLACK_MS = 25.0
ENDPOINT_MS = 500.0
SPLIT_SHARE = 0.01


@dataclass(frozen=True)
class Row:
    """A measured distribution beside its bar.

    Attributes:
        values: milliseconds, or a share when ``share``.
        quantile: which of ``values`` the bar is about, in percent; the mean of shares.
        bar: what it must not exceed; None for none.
    """

    name: str
    values: tuple[float, ...]
    quantile: int = 50
    bar: float | None = None
    share: bool = False

    @property
    def value(self) -> float:
        """What the bar is about."""
        if not self.values:
            return float("nan")
        if self.share:
            return float(np.mean(self.values))
        return float(np.percentile(self.values, self.quantile))

    @property
    def met(self) -> bool:
        """Whether the bar is met; nothing measured meets none."""
        return self.bar is None or self.value <= self.bar

    def cells(self) -> tuple[str, ...]:
        """Its line of the table."""
        verdict = "" if self.bar is None else "met" if self.met else "MISSED"
        if self.share:
            bar = "" if self.bar is None else f"≤ {self.bar:.1%}"
            return (self.name, str(len(self.values)), f"{self.value:.2%}", "", "", "", bar, verdict)
        bar = "" if self.bar is None else f"p{self.quantile} ≤ {self.bar:.1f} ms"
        values = self.values or (float("nan"),)
        shown = [f"{np.percentile(values, q):.1f}" for q in (50, 95, 99, 100)]
        return (self.name, str(len(self.values)), *shown, bar, verdict)

    def as_json(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {
            "n": len(self.values),
            "unit": "share" if self.share else "ms",
            "value": round(self.value, 4),
            "statistic": "mean" if self.share else f"p{self.quantile}",
            "bar": self.bar,
            "met": self.met,
            "values": [round(v, 3) for v in self.values] if not self.share else None,
        }


def stopping_rows(found: Stopping) -> list[Row]:
    """Rows about an answer that is spoken into; one step is the 99th percentile of the steps."""
    steps = Row("decode step", found.steps_ms, 99)
    step_ms = steps.value
    return [
        steps,
        Row("speech start → decode stopped", found.stop_ms, 99, step_ms + STOP_SLACK_MS),
        Row("speech start → last stale chunk", found.stale_ms, 99, step_ms + STALE_SLACK_MS),
        Row("first voiced sample → speech start", found.onset_ms),
    ]


def endpoint_rows(found: Endpoints) -> list[Row]:
    """Rows about the end of utterances."""
    return [
        Row("last voiced sample → endpoint", found.delays_ms, 50, ENDPOINT_MS),
        Row("endpoints before the last word", _shares(found.early), share=True),
        Row("utterances split wrongly", _shares(found.split), bar=SPLIT_SHARE, share=True),
        Row("utterances not heard", _shares(found.missed), share=True),
    ]


def _shares(flags: Sequence[bool]) -> tuple[float, ...]:
    return tuple(float(flag) for flag in flags)
