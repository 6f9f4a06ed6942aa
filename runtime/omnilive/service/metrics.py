"""Prometheus metrics of the service, fed by the events of its sessions. It measures nothing itself.

Each service has a registry of its own, so that several in one process do not mix.
"""

from __future__ import annotations

from collections.abc import Callable

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from omnilive import events
from omnilive.events import Event
from omnilive.service.lane_metrics import LaneMetrics
from omnilive.service.machine_metrics import MachineMetrics

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class Metrics:
    """Counts what sessions do. Belongs to the event loop, but for ``time_stage`` and ``text``.

    Attributes:
        lanes: what to tell of each session's lanes.
    """

    def __init__(
        self,
        sessions: Callable[[], int],
        unsent_bytes: Callable[[], int],
        remembered_bytes: Callable[[], int],
        kv_bytes: Callable[[], int],
    ) -> None:
        """Make the registry.

        Args:
            sessions: how many there are.
            unsent_bytes: what waits for clients.
            remembered_bytes: what the sessions' memory takes.
            kv_bytes: what is written of their KV arenas.
        """
        self._registry = registry = CollectorRegistry()
        self.lanes = LaneMetrics()
        registry.register(self.lanes)
        registry.register(MachineMetrics())
        self._stages = Histogram(
            "omnilive_stage_seconds",
            "Wall time of the work of a stage: of one frame, token, sentence or clip",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._latency = Histogram(
            "omnilive_answer_seconds",
            "From the end of speech, in stream time, to each stage of the answer",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._lag = Histogram(
            "omnilive_frame_lag_seconds",
            "From a frame's time to its features, in stream time",
            buckets=SECONDS,
            registry=registry,
        )
        self._outcomes = _counter(registry, "utterances", "Utterances by outcome", "outcome")
        self._frames = _counter(registry, "frames", "Frames by what became of them", "fate")
        self._cancelled = _counter(
            registry, "generations_cancelled", "Generations whose work was stopped"
        )
        self._clips = _counter(registry, "clips", "Clips closed")
        self._ended = _counter(registry, "sessions_ended", "Sessions that are over", "how")
        process = psutil.Process()
        for name, what, read in (
            ("sessions", "Sessions now", sessions),
            ("unsent_bytes", "Bytes that wait for clients", unsent_bytes),
            ("memory_bytes", "Features of the clips that sessions remember", remembered_bytes),
            ("kv_bytes", "KV arenas as far as they have been written", kv_bytes),
            ("resident_bytes", "Resident memory of the process", lambda: process.memory_info().rss),
        ):
            Gauge(f"omnilive_{name}", what, registry=registry).set_function(read)

    def time_stage(self, stage: str, wall_us: int) -> None:
        """Take what a stage was measured to take; from any thread."""
        self._stages.labels(stage).observe(wall_us / 1e6)

    def count_end(self, *, failed: bool) -> None:
        """A session is over."""
        self._ended.labels("failed" if failed else "ended").inc()

    def listener(self) -> Callable[[int, int, Event], None]:
        """What takes the events of one session."""
        speech_end: dict[int, int] = {}

        def since(event: Event, at_us: int, stage: str) -> None:
            began = speech_end.get(getattr(event, "utterance", 0))
            if began is not None:
                self._latency.labels(stage).observe(max(0, at_us - began) / 1e6)

        def hear(_: int, at_us: int, event: Event) -> None:
            if isinstance(event, events.SpeechEnded):
                speech_end[event.utterance] = event.end_us
            elif isinstance(event, events.Transcribed):
                if event.typed:
                    speech_end[event.utterance] = at_us
                since(event, at_us, "transcribed")
            elif isinstance(event, events.TokenDecoded) and event.index == 0:
                since(event, at_us, "first_token")
            elif isinstance(event, events.SentenceSpoken):
                since(event, event.start_us, "first_audio")
                speech_end.pop(event.utterance, None)
            elif isinstance(event, events.FrameEncoded):
                self._frames.labels("encoded").inc()
                self._lag.observe(max(0, at_us - event.pts_us) / 1e6)
            elif isinstance(event, events.FrameDropped):
                self._frames.labels("dropped").inc()
            elif isinstance(event, events.ClipClosed):
                self._clips.inc()
            elif isinstance(event, (events.AnswerFinished, events.AnswerCancelled)):
                self._outcomes.labels(event.kind).inc()
                speech_end.pop(event.utterance, None)
            elif isinstance(event, events.AnswerInterrupted):
                self._cancelled.inc()
            elif isinstance(event, events.Unanswered):
                if event.reason == "superseded":
                    self._cancelled.inc()
                self._outcomes.labels(f"unanswered_{event.reason}").inc()
                speech_end.pop(event.utterance, None)

        return hear

    def text(self) -> bytes:
        """All of them in Prometheus's text format; asking a device may take a while."""
        return generate_latest(self._registry)


def _counter(registry: CollectorRegistry, name: str, what: str, *labels: str) -> Counter:
    return Counter(f"omnilive_{name}", what, labels, registry=registry)
