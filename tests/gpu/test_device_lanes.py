"""Lanes on a real device: order by tickets, and work of two lanes side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cuda_kernels import Kernel

from omnilive.lanes import Lane

if TYPE_CHECKING:
    from omnilive.backends.cuda_lanes import DeviceLanes

pytest.importorskip("cuda.bindings.runtime", reason="cuda-python is not installed")

ROUNDS = 200
COUNT = 1 << 20
LIMIT_NS = 500_000_000
"""How long a kernel waits for the other: work in line is told from work side by side."""


@pytest.fixture
def lanes() -> Iterator[DeviceLanes]:
    from omnilive.backends.cuda_lanes import DeviceLanes

    found = DeviceLanes()
    yield found
    found.close()


def test_a_ticket_orders_work_of_two_streams_without_the_host(lanes: DeviceLanes) -> None:
    from omnilive.backends.cuda import DeviceBuffer

    nbytes = 4 * COUNT
    source, target = DeviceBuffer(nbytes), DeviceBuffer(nbytes)
    see, remember = lanes.lane(Lane.SEE), lanes.lane(Lane.REMEMBER)
    found = np.empty(COUNT, np.float32)
    for i in range(ROUNDS):
        values = np.full(COUNT, i, np.float32).view(np.uint8)
        written = see.submit(lambda _, v=values: see.staging.upload([(v, source.address)]))
        copied = remember.submit(
            lambda stream: stream.copy(target.address, source.address, nbytes), after=[written]
        )
        copied.wait()
        see.reader.fetch(target.address, found)
        assert (found == i).all()


def both_met(lanes: DeviceLanes, first: Lane, second: Lane) -> bool:
    """Whether a kernel on each lane saw the other one begin before it ended."""
    from omnilive.backends.cuda import DeviceBuffer

    kernel, flags = Kernel(), DeviceBuffer(16)
    lanes.lane(first).submit(lambda stream: stream.clear(flags)).wait()
    one, two, met_one, met_two = (flags.address + 4 * i for i in range(4))
    tickets = [
        lanes.lane(lane).submit(
            lambda stream, a=mine, b=other, m=met: kernel.launch(stream.handle, a, b, LIMIT_NS, m)
        )
        for lane, mine, other, met in ((first, one, two, met_one), (second, two, one, met_two))
    ]
    for ticket in tickets:
        ticket.wait()
    found = np.empty(4, np.int32)
    lanes.lane(first).reader.fetch(flags.address, found)
    return bool(found[2] and found[3])


def test_work_of_two_lanes_overlaps_on_the_device(lanes: DeviceLanes) -> None:
    assert both_met(lanes, Lane.SEE, Lane.REASON)


def test_work_of_one_lane_does_not(lanes: DeviceLanes) -> None:
    assert not both_met(lanes, Lane.REASON, Lane.REASON)


def test_the_device_tells_at_least_perception_from_the_rest(lanes: DeviceLanes) -> None:
    from cuda.bindings import runtime

    found = {}
    for lane in Lane:
        status, priority = runtime.cudaStreamGetPriority(lanes.lane(lane).stream.handle)
        assert int(status) == 0
        found[lane] = priority
    assert found[Lane.LISTEN] <= found[Lane.SEE] <= found[Lane.REASON] <= found[Lane.REMEMBER]
    assert found[Lane.LISTEN] < found[Lane.REMEMBER]
