"""Lanes on a fake device: order within a stream, waits between streams, and no wait of the host."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.lanes import Lane, LaneFullError
from tensorrt_bindings import PACKAGES
from tensorrt_fake import World
from tensorrt_fake_cuda import FakeCuda
from tensorrt_fake_device import FakeDevice, modules

BACKENDS = ("omnilive.backends.cuda", "omnilive.backends.cuda_lanes")


class Device:
    """Device lanes on a fake CUDA, and what their streams have done."""

    def __init__(self, in_flight: int) -> None:
        self.cuda = FakeCuda()
        self.log: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            for name in BACKENDS:
                patch.delitem(sys.modules, name, raising=False)
            with modules(patch, FakeDevice(next(iter(PACKAGES)), World(), self.cuda)):
                module = importlib.import_module(BACKENDS[1])
            self.lanes: Any = module.DeviceLanes(in_flight)
            for name in BACKENDS:
                patch.delitem(sys.modules, name)

    def submit(self, lane: Lane, name: str, **conditions: Any) -> Any:
        """Give ``lane`` work that logs its name when the device does it."""
        return self.lanes.submit(
            lane,
            lambda stream: self.cuda.give(stream.handle, lambda: self.log.append(name)),
            **conditions,
        )


@pytest.fixture
def device() -> Device:
    return Device(in_flight=4)


def test_work_waits_on_the_device_and_never_on_the_host(device: Device) -> None:
    seen = device.submit(Lane.SEE, "see")
    kept = device.submit(Lane.REMEMBER, "remember", after=[seen])
    said = device.submit(Lane.SPEAK, "speak", after=[seen, kept])
    assert device.log == [] and device.cuda.synchronizations == 0
    assert not (seen.done or kept.done or said.done)
    said.wait()
    assert device.log == ["see", "remember", "speak"]
    assert seen.done and kept.done and said.done


def test_a_stream_goes_on_beside_one_that_nobody_waits_for(device: Device) -> None:
    decode = device.submit(Lane.REASON, "decode")
    see = device.submit(Lane.SEE, "see")
    see.wait()
    assert device.log == ["see"] and not decode.done


def test_the_more_important_lane_has_the_higher_priority_as_far_as_the_device_tells_them_apart(
    device: Device,
) -> None:
    by_lane = {lane: device.cuda.priorities[device.lanes.stream(lane).handle] for lane in Lane}
    assert by_lane[Lane.LISTEN] == -3  # the fake's highest
    assert by_lane[Lane.LISTEN] < by_lane[Lane.SEE] < by_lane[Lane.SPEAK] < by_lane[Lane.REASON]
    assert by_lane[Lane.REASON] == by_lane[Lane.REMEMBER] == 0


def test_a_stale_generation_gives_the_device_nothing_more(device: Device) -> None:
    first = device.submit(Lane.REASON, "given before", generation=1)
    device.lanes.cancel_before(2)
    assert device.submit(Lane.REASON, "stale", generation=1) is None
    last = device.submit(Lane.REASON, "live", generation=2)
    last.wait()
    assert first.done and device.log == ["given before", "live"]


def test_a_stream_holds_so_much_and_takes_more_when_some_of_it_is_done(device: Device) -> None:
    tickets = [device.submit(Lane.REASON, str(i)) for i in range(4)]
    with pytest.raises(LaneFullError, match="reason"):
        device.submit(Lane.REASON, "too much")
    assert device.lanes.load(Lane.REASON) == 4
    tickets[1].wait()
    assert device.lanes.load(Lane.REASON) == 2
    device.submit(Lane.REASON, "4").wait()
    assert device.log == ["0", "1", "2", "3", "4"]


@given(
    jobs=st.lists(
        st.tuples(st.sampled_from(list(Lane)), st.lists(st.integers(0, 30), max_size=3)),
        max_size=30,
    ),
    first=st.integers(0, 30),
)
def test_any_graph_of_work_is_done_in_an_order_it_allows(
    jobs: list[tuple[Lane, list[int]]], first: int
) -> None:
    device, tickets = Device(in_flight=64), []
    for number, (lane, before) in enumerate(jobs):
        after = [tickets[i] for i in before if i < number]
        tickets.append(device.submit(lane, str(number), after=after))
    for ticket in tickets[first:] + tickets[:first]:  # waited for in any order
        ticket.wait()
    done = [int(name) for name in device.log]
    assert sorted(done) == list(range(len(jobs)))
    place = {number: at for at, number in enumerate(done)}
    for number, (lane, before) in enumerate(jobs):
        assert all(place[i] < place[number] for i in before if i < number)
        assert all(place[i] < place[number] for i in range(number) if jobs[i][0] is lane)
