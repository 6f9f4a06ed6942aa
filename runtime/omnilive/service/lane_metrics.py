"""The lanes of all sessions as Prometheus metrics: jobs by fate, and how long they wait and run.

Of ended sessions the counts are kept, since a counter never goes back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from omnilive.lanes import Durations, Lane, LaneUse

BOUNDS_US = (100, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000)
"""Of the histograms' buckets: from a hand-off to a step that is far too long."""

FATES = ("done", "failed", "missed", "dropped", "cancelled")

ReadLanes = Callable[[], Mapping[Lane, LaneUse]]


@dataclass(eq=False)
class _Sum:
    """What the lanes of one kind have done together."""

    fates: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FATES, 0))
    waited: Durations = field(default_factory=lambda: Durations.none(len(BOUNDS_US)))
    ran: Durations = field(default_factory=lambda: Durations.none(len(BOUNDS_US)))
    waiting: int = 0

    def add(self, use: LaneUse) -> None:
        for fate in FATES:
            self.fates[fate] += use.fates[fate]
        self.waited += use.waited
        self.ran += use.ran
        self.waiting += use.waiting


class LaneMetrics(Collector):
    """Collects what sessions' lanes count; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, ReadLanes] = {}
        self._next = 0
        self._ended = {lane: _Sum() for lane in Lane}

    def add(self, read: ReadLanes) -> Callable[[], None]:
        """Count the lanes that ``read`` tells of.

        Returns:
            To be called when they have come to their end.
        """
        with self._lock:
            key, self._next = self._next, self._next + 1
            self._running[key] = read

        def retire() -> None:
            with self._lock:
                for lane, use in self._running.pop(key)().items():
                    self._ended[lane].add(use)
                    self._ended[lane].waiting = 0

        return retire

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """See ``Collector.collect``."""
        jobs = CounterMetricFamily(
            "omnilive_lane_jobs", "Jobs by what became of them", labels=["lane", "fate"]
        )
        waiting = GaugeMetricFamily("omnilive_lane_waiting", "Jobs that wait now", labels=["lane"])
        waits = HistogramMetricFamily(
            "omnilive_lane_wait_seconds", "From submit to start of a job", labels=["lane"]
        )
        runs = HistogramMetricFamily(
            "omnilive_lane_run_seconds", "From start to end of a job", labels=["lane"]
        )
        for lane, total in self._total().items():
            for fate, count in total.fates.items():
                jobs.add_metric([lane.value, fate], count)
            waiting.add_metric([lane.value], total.waiting)
            for family, durations in ((waits, total.waited), (runs, total.ran)):
                family.add_metric([lane.value], _buckets(durations), durations.sum_us / 1e6)
        yield from (jobs, waiting, waits, runs)

    def _total(self) -> dict[Lane, _Sum]:
        sums = {}
        with self._lock:
            for lane, ended in self._ended.items():
                sums[lane] = _Sum(dict(ended.fates), ended.waited, ended.ran)
            for read in self._running.values():
                for lane, use in read().items():
                    sums[lane].add(use)
        return sums


def _buckets(durations: Durations) -> list[tuple[str, int]]:
    counted = [
        (str(bound_us / 1e6), until)
        for bound_us, until in zip(BOUNDS_US, durations.until, strict=True)
    ]
    return [*counted, ("+Inf", durations.count)]
