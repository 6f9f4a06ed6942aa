"""Lanes on a device: a stream each, tickets that are events, and waits that the host never makes.

The same order as the host's lanes: one lane's work runs in the order it came, and work that names
tickets runs after them. It decides what is given to the device, not what that computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from omnilive.backends.cuda import Event, Stream, stream_priorities
from omnilive.lanes import Lane, LaneFullError
from omnilive.scheduling.threads import PRIORITY

MOST_IN_FLIGHT = 16
"""Pieces of work per lane that the device has and has not finished: work given to it cannot be
taken back, so a barge-in waits for no more than these."""


class DeviceTicket:
    """One piece of work given to the device."""

    def __init__(self, lane: Lane, event: Event) -> None:
        self.lane = lane
        self.event = event

    @property
    def done(self) -> bool:
        """Whether the device has finished it. Raises EngineError when the device has failed."""
        return self.event.reached

    def wait(self) -> None:
        """Keep the host until it is finished; for what must leave the device."""
        self.event.synchronize()


class DeviceLanes:
    """Gives work to the streams of the lanes. Its methods are called on one thread.

    Args:
        in_flight: work a lane's stream may hold; at the limit a feeder waits for a ticket.
    """

    def __init__(self, in_flight: int = MOST_IN_FLIGHT) -> None:
        lowest, highest = stream_priorities()
        # The device tells fewer priorities apart than there are lanes: the least important share.
        self._streams = {
            lane: Stream(min(lowest, highest + rank)) for lane, rank in PRIORITY.items()
        }
        self._in_flight = in_flight
        self._given: dict[Lane, deque[DeviceTicket]] = {lane: deque() for lane in Lane}
        self._live_from = 0

    def stream(self, lane: Lane) -> Stream:
        """The lane's own."""
        return self._streams[lane]

    def load(self, lane: Lane) -> int:
        """Pieces of work the lane's stream has not finished."""
        given = self._given[lane]
        while given and given[0].done:
            given.popleft()
        return len(given)

    def submit(
        self,
        lane: Lane,
        launch: Callable[[Stream], None],
        *,
        generation: int | None = None,
        after: Sequence[DeviceTicket] = (),
    ) -> DeviceTicket | None:
        """Give the lane's stream the work that ``launch`` gives it.

        Args:
            lane: whose stream.
            launch: called here and now; it must not wait for the device.
            generation: None for work that outlives any turn.
            after: work of any lane that the device finishes before it begins this.

        Returns:
            None when the generation is stale: nothing was given to the device.

        Raises:
            LaneFullError: the stream holds as much as it may.
            EngineError: a call of CUDA failed.
        """
        if generation is not None and generation < self._live_from:
            return None
        if self.load(lane) >= self._in_flight:
            raise LaneFullError(f"the {lane.value} lane's stream has {self._in_flight} pieces")
        stream = self._streams[lane]
        for ticket in after:
            if ticket.lane is not lane:  # a stream keeps its own order
                stream.wait(ticket.event)
        launch(stream)
        ticket = DeviceTicket(lane, stream.record())
        self._given[lane].append(ticket)
        return ticket

    def cancel_before(self, generation: int) -> None:
        """Give the device no more work of generations below ``generation``."""
        self._live_from = max(self._live_from, generation)
