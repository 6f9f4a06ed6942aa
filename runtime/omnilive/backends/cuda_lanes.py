"""Lanes on a device: a stream each, tickets that are events, and waits that the host never makes.

The same order as the host's lanes: one lane's work runs in the order it came, and work that names
tickets runs after them. It decides what is given to the device, not what that computes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from omnilive.backends.cuda import Stream, stream_priorities
from omnilive.backends.device_ticket import DeviceTicket, Lease
from omnilive.backends.keep_alive import KeepAlive
from omnilive.backends.staging import Staging
from omnilive.clock import Clock, MonotonicClock
from omnilive.engine.config import EngineConfig
from omnilive.engine.placement import LANE_OF_ENGINE
from omnilive.errors import EngineError
from omnilive.scheduling.jobs import Lane
from omnilive.scheduling.threads import PRIORITY

MOST_IN_FLIGHT = 16
"""Pieces of work per lane that the device has and has not finished: work given to it cannot be
taken back, so a barge-in waits for no more than these."""


class DeviceLane:
    """One lane's stream. Any thread may give it work, one at a time.

    Args:
        lane: whose.
        priority: of the stream, as CUDA counts.
        reader: copies results of any lane to the host.
        in_flight: pieces of work the stream may hold; at the limit whoever gives it more is kept
            until the oldest is finished.
        worked: called when work was given.

    Attributes:
        stream: all of its work goes there.
        staging: of its uploads.
        lock: held while the stream is given something, and by engines around the state that a run
            of theirs is set up in. A stream that is captured must be given nothing else.
    """

    def __init__(
        self,
        lane: Lane,
        priority: int,
        *,
        reader: Stream,
        in_flight: int,
        worked: Callable[[], None],
    ) -> None:
        self.lane = lane
        self.stream = Stream(priority)
        self.staging = Staging(self.stream)
        self.reader = reader
        self.lock = threading.RLock()
        self._in_flight = in_flight
        self._worked = worked
        self._given: deque[DeviceTicket] = deque()

    @property
    def load(self) -> int:
        """Pieces of work the stream has not finished."""
        with self.lock:
            while self._given and self._given[0].done:
                self._given.popleft()
            return len(self._given)

    def submit(
        self,
        launch: Callable[[Stream], None],
        *,
        after: Iterable[DeviceTicket] = (),
        inputs: Iterable[Lease] = (),
    ) -> DeviceTicket:
        """Give the stream the work that ``launch`` gives it.

        Args:
            launch: called here and now; it must not wait for the device.
            after: work of any lane that the device finishes before it begins this.
            inputs: memory that this reads: written before, and reused after it, on the device.

        Raises:
            EngineError: a call of CUDA failed.
        """
        with self.lock:
            if self.load >= self._in_flight:
                self._given.popleft().wait()
            read = list(inputs)
            for ticket in {id(t): t for t in (*after, *(r.ticket for r in read))}.values():
                if ticket.lane is not self:  # a stream keeps its own order
                    self.stream.wait(ticket.event)
            try:
                launch(self.stream)
            finally:
                # Also after a failure: part of the work may have been given.
                ticket = DeviceTicket(self, self.stream.record())
                self._given.append(ticket)
                for lease in read:
                    lease.reads[self] = ticket
        self._worked()
        return ticket


class DeviceLanes:
    """Owns the streams of one pack: made with its first engine on the device, closed with it.

    A lane's stream is made when it is first asked for. What still holds a lane when this is closed
    keeps its stream: results may be read after their engine is gone.

    Args:
        config: whether and how long the device is kept from lowering its clocks.
        ranks: importance of each lane, 0 the most.
        clock: of the keeping.
        in_flight: see ``DeviceLane``.
    """

    def __init__(
        self,
        config: EngineConfig | None = None,
        ranks: Mapping[Lane, int] = PRIORITY,
        *,
        clock: Clock | None = None,
        in_flight: int = MOST_IN_FLIGHT,
    ) -> None:
        config = config or EngineConfig()
        self._ranks = ranks
        self._in_flight = in_flight
        self._lock = threading.Lock()
        self._lanes: dict[Lane, DeviceLane] = {}
        self._reader: Stream | None = None
        self._closed = False
        self._keep_alive = (
            KeepAlive(
                config.keep_alive_ms * 1_000,
                config.keep_alive_limit_ms * 1_000,
                busy=self._busy,
                clock=clock or MonotonicClock(),
            )
            if config.keep_alive_ms
            else None
        )

    def lane_of(self, engine: str) -> DeviceLane:
        """The lane of the engine called ``engine``, by LANE_OF_ENGINE."""
        return self.lane(LANE_OF_ENGINE[engine])

    def lane(self, lane: Lane) -> DeviceLane:
        """The stream of ``lane``. Raises EngineError when closed, or without a device."""
        with self._lock:
            if self._closed:
                raise EngineError("is closed", where="device", mend="Open the pack again.")
            if lane not in self._lanes:
                self._lanes[lane] = self._made(lane)
            return self._lanes[lane]

    def close(self) -> None:
        """Stop keeping the device awake, and let go of the streams. Twice is the same as once."""
        with self._lock:
            self._closed = True
            self._lanes = {}
            self._reader = None
        if self._keep_alive is not None:
            self._keep_alive.close()

    def _made(self, lane: Lane) -> DeviceLane:
        lowest, highest = stream_priorities()
        if self._reader is None:
            self._reader = Stream(highest)
            if self._keep_alive is not None:
                self._keep_alive.start(lowest)
        return DeviceLane(
            lane,
            # The device tells fewer priorities apart than there are lanes: the least important
            # share.
            min(lowest, highest + self._ranks[lane]),
            reader=self._reader,
            in_flight=self._in_flight,
            worked=self._worked,
        )

    def _worked(self) -> None:
        if self._keep_alive is not None:
            self._keep_alive.worked()

    def _busy(self) -> bool:
        with self._lock:
            lanes = list(self._lanes.values())
        return any(lane.load for lane in lanes)
