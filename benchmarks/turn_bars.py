"""What turn-taking must show, and whether it does. It measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from turn_client import SLOW_PAUSE_S, Stale
from turn_endpoints import Endpoints
from turn_pauses import PAUSES_MS
from turn_stopping import Stopping

STOP_SLACK_MS = 5.0
STALE_SLACK_MS = 25.0
ENDPOINT_MS = 500.0
SPLIT_SHARE = 0.01
MISSED_SHARE = 0.01
"""Not to be heard is as bad as to be heard in halves."""
BAND_MS = 100
"""Pauses are told apart by so much."""


@dataclass(frozen=True)
class Row:
    """A measured distribution beside its bar.

    Attributes:
        values: milliseconds, or a share when ``share``.
        quantile: which of ``values`` the bar is about, in percent; the mean of shares.
        bar: what it must not exceed; None for none.
    """

    name: str
    values: Sequence[float]
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
        Row(
            "speech start → last stale chunk handed over",
            found.stale_ms,
            99,
            step_ms + STALE_SLACK_MS,
        ),
        Row("first voiced sample → speech start", found.onset_ms),
    ]


def client_rows(found: Stale, step_ms: float, *, slow: bool) -> list[Row]:
    """Rows about what a WebSocket client still gets; one that reads in gulps has one gulp more."""
    more_ms = STALE_SLACK_MS + (1_000 * SLOW_PAUSE_S if slow else 0.0)
    who = "slow client" if slow else "client"
    return [
        Row(f"speech start → last stale chunk at a {who}", found.speech, 99, step_ms + more_ms),
        Row(f"interrupt sent → last stale chunk at a {who}", found.message, 99, step_ms + more_ms),
        Row(f"decision → last stale chunk at a {who}", found.decision, 99, more_ms),
    ]


def endpoint_rows(found: Endpoints, without_hold: Endpoints) -> list[Row]:
    """Rows about the end of utterances; ``without_hold``: an answer may sound at the endpoint."""
    rows = [
        Row("last voiced sample → endpoint", found.delays_ms, 50, ENDPOINT_MS),
        Row("endpoint → an answer may sound", found.held_ms),
        Row("utterances split wrongly", _shares(found.split), bar=SPLIT_SHARE, share=True),
        Row("  without a pause", _with_pause(found, found.split, 0, 0), share=True),
    ]
    bands = range(PAUSES_MS[0], PAUSES_MS[1], BAND_MS)
    rows += [
        Row(
            f"  with one of {band} to {band + BAND_MS} ms",
            _with_pause(found, found.split, band, band + BAND_MS),
            share=True,
        )
        for band in bands
    ]
    rows += [
        Row("  if answers were not held", _shares(without_hold.split), share=True),
        Row("utterances not heard", _shares(found.missed), bar=MISSED_SHARE, share=True),
        Row("endpoints in a pause", _shares(found.early), share=True),
    ]
    rows += [
        Row(
            f"  of {band} to {band + BAND_MS} ms",
            _with_pause(found, found.early, band, band + BAND_MS),
            share=True,
        )
        for band in bands
    ]
    rows.append(Row("  such an endpoint → known to go on", found.joined_ms))
    return rows


def _with_pause(
    found: Endpoints, flags: Sequence[bool], over_ms: float, to_ms: float
) -> tuple[float, ...]:
    """Of the utterances with a pause of that length, 0 to 0 of those without one."""
    return tuple(
        float(flag)
        for flag, pause_ms in zip(flags, found.pauses_ms, strict=True)
        if over_ms < pause_ms <= to_ms or pause_ms == to_ms == 0
    )


def _shares(flags: Sequence[bool]) -> tuple[float, ...]:
    return tuple(float(flag) for flag in flags)
