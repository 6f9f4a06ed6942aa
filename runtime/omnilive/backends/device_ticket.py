"""Tickets of work given to a device, and memory that is kept until the device has read it.

It never gives the device work but to copy results to the host.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from omnilive.backends.cuda import Event

if TYPE_CHECKING:
    from omnilive.backends.cuda_lanes import DeviceLane


class DeviceTicket:
    """One piece of work given to a lane of the device: an event recorded behind it.

    Attributes:
        lane: whose stream it was given to.
        event: reached when the device has finished it.
    """

    def __init__(self, lane: DeviceLane, event: Event) -> None:
        self.lane = lane
        self.event = event

    @property
    def done(self) -> bool:
        """Whether the device has finished it. Raises EngineError when the device has failed."""
        return self.event.reached

    def wait(self) -> None:
        """Keep the host until it is finished; for what must leave the device."""
        self.event.synchronize()


Reads = Mapping["DeviceLane", DeviceTicket]


class Lease:
    """Memory of an engine's output, in use for as long as an array views it.

    Args:
        ticket: of the run that writes it.
        owner: keeps the memory; given back when nobody views it any more.
        give_back: takes the owner and, by lane, the tickets after which nobody reads it.

    Attributes:
        reads: of each lane that reads it the last run that does; a lane keeps its own order.
    """

    def __init__(
        self,
        ticket: DeviceTicket,
        owner: Any,
        give_back: Callable[[Any, Reads], None],
    ) -> None:
        self.ticket = ticket
        self.reads: dict[DeviceLane, DeviceTicket] = {}
        weakref.finalize(self, give_back, owner, self.reads)

    def read(self, address: int, values: npt.NDArray[np.uint8]) -> None:
        """Fill ``values`` from an address within it; waits for its run and not for later ones."""
        self.ticket.wait()
        self.ticket.lane.reader.fetch(address, values)
