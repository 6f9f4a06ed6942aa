"""Lanes on a fake device: order within a stream, waits between streams, and no wait of the host."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.clock import VirtualClock
from omnilive.engine.config import EngineConfig
from omnilive.engine.manifest import ENGINE_NAMES
from omnilive.engine.placement import LANE_OF_ENGINE
from omnilive.errors import EngineError
from omnilive.lanes import Lane
from ort_cuda_fake import PACKAGE, PARTS
from tensorrt_bindings import PACKAGES
from tensorrt_fake import World
from tensorrt_fake_cuda import FakeCuda
from tensorrt_fake_device import FakeDevice, modules

LANES = PARTS[: PARTS.index("cuda_lanes") + 1]


class Device:
    """Device lanes on a fake CUDA, and what their streams have done."""

    def __init__(self, in_flight: int, config: EngineConfig | None = None) -> None:
        self.cuda = FakeCuda()
        self.log: list[str] = []
        self.clock = VirtualClock()
        names = [f"{PACKAGE}.{part}" for part in LANES]
        with pytest.MonkeyPatch.context() as patch:
            for name in names:
                patch.delitem(sys.modules, name, raising=False)
            with modules(patch, FakeDevice(next(iter(PACKAGES)), World(), self.cuda)):
                module = importlib.import_module(names[-1])
            self.lanes: Any = module.DeviceLanes(config, clock=self.clock, in_flight=in_flight)
            for name in names:
                patch.delitem(sys.modules, name)

    def submit(self, lane: Lane, name: str, **conditions: Any) -> Any:
        """Give ``lane`` work that logs its name when the device does it."""
        return self.lanes.lane(lane).submit(
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
    by_lane = {lane: device.cuda.priorities[device.lanes.lane(lane).stream.handle] for lane in Lane}
    assert by_lane[Lane.LISTEN] == -3  # the fake's highest
    assert by_lane[Lane.LISTEN] < by_lane[Lane.SEE] < by_lane[Lane.SPEAK] < by_lane[Lane.REASON]
    assert by_lane[Lane.REASON] == by_lane[Lane.REMEMBER] == 0


def test_every_engine_has_a_lane_and_engines_of_a_lane_share_its_stream(device: Device) -> None:
    assert set(LANE_OF_ENGINE) == set(ENGINE_NAMES)
    streams = {name: device.lanes.lane_of(name).stream for name in ENGINE_NAMES}
    by_lane = {"see": {"mem_vit"}, "listen": {"aud_enc", "aud_lm"}}
    by_lane |= {"remember": {"mem_proj", "mem_lm"}, "reason": {"vlm_vit", "vlm_lm", "mem_to_vlm"}}
    for lane, names in by_lane.items():
        assert {streams[name] for name in names} == {device.lanes.lane(Lane(lane)).stream}
    assert len(set(streams.values())) == len(by_lane)


def test_a_full_stream_takes_more_when_its_oldest_piece_is_done(device: Device) -> None:
    tickets = [device.submit(Lane.REASON, str(i)) for i in range(4)]
    assert device.lanes.lane(Lane.REASON).load == 4 and device.log == []
    tickets.append(device.submit(Lane.REASON, "4"))
    # The host was kept until the oldest was finished, and no longer.
    assert device.log == ["0"] and device.lanes.lane(Lane.REASON).load == 4
    tickets[2].wait()
    assert device.lanes.lane(Lane.REASON).load == 2
    tickets[4].wait()
    assert device.log == ["0", "1", "2", "3", "4"]


def test_a_failed_launch_leaves_the_stream_as_it_was_given(device: Device) -> None:
    lane = device.lanes.lane(Lane.SEE)

    def fail(stream: Any) -> None:
        device.cuda.give(stream.handle, lambda: device.log.append("half"))
        raise EngineError("refused", where="engine", mend="-")

    with pytest.raises(EngineError, match="refused"):
        lane.submit(fail)
    assert lane.load == 1
    device.submit(Lane.SEE, "next").wait()
    assert device.log == ["half", "next"] and lane.load == 0


def test_closed_lanes_give_no_stream_and_finish_what_was_given(device: Device) -> None:
    ticket = device.submit(Lane.SEE, "see")
    device.lanes.close()
    device.lanes.close()
    with pytest.raises(EngineError, match="is closed"):
        device.lanes.lane(Lane.SEE)
    ticket.wait()
    assert device.log == ["see"]


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
