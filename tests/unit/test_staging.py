"""Where inputs of an engine lie for a run, on a fake device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from omnilive.errors import EngineError
from omnilive.lanes import Lane
from ort_cuda_fake import loaded
from tensorrt_fake_cuda import FakeCuda

VALUES = np.arange(256, dtype=np.float32)


class Bench:
    """A lane that has written VALUES, and what reads them on another."""

    def __init__(self, cuda: FakeCuda, modules: dict[str, Any]) -> None:
        self.cuda, self.staging = cuda, modules["staging"]
        self.lanes = modules["cuda_lanes"].DeviceLanes()
        self.writer, self.reader = self.lanes.lane(Lane.SEE), self.lanes.lane(Lane.REMEMBER)
        self.buffer = modules["cuda"].DeviceBuffer(VALUES.nbytes)
        pieces = [(VALUES.view(np.uint8), self.buffer.address)]
        ticket = self.writer.submit(lambda _: self.writer.staging.upload(pieces))
        lease = modules["device_ticket"].Lease(ticket, self.buffer, lambda *_: None)
        arrays = modules["device_array"]
        span = arrays.Span(lease, self.buffer.address, VALUES.nbytes)
        self.array = arrays.DeviceArray([span], (16, 16))
        self.fixed = modules["cuda"].DeviceBuffer(VALUES.nbytes)

    def placed(self, inputs: Any, values: Any) -> tuple[int, np.ndarray]:
        """Where ``values`` are in a run, and what the device finds there."""
        at: list[int] = []
        found = np.empty(values.nbytes, np.uint8)

        def launch(_: Any) -> None:
            (address,) = inputs.place({"x": values}).values()
            at.append(address)

        ticket = self.reader.submit(launch, inputs=self.staging.leases_of([values]))
        ticket.wait()
        self.reader.reader.fetch(at[0], found)
        return at[0], found.view(values.dtype).reshape(values.shape)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with loaded(monkeypatch) as (fake, modules):
        yield Bench(fake.cuda, modules)


@pytest.mark.parametrize(("first", "in_place"), [(0, True), (4, True), (1, False), (3, False)])
def test_what_lies_aligned_on_the_device_is_read_in_place_and_else_copied_there(
    bench: Bench, first: int, in_place: bool
) -> None:
    inputs = bench.staging.EngineInputs(bench.reader)
    uploads = bench.cuda.trace.count("upload")
    address, found = bench.placed(inputs, bench.array[first : first + 2])
    assert np.array_equal(found, VALUES.reshape(16, 16)[first : first + 2])
    assert (address == bench.buffer.address + 64 * first) is in_place
    assert address % 256 == 0
    assert bench.cuda.trace.count("upload") == uploads


def test_an_input_whose_address_is_fixed_is_always_brought_there(bench: Bench) -> None:
    inputs = bench.staging.EngineInputs(bench.reader, {"x": bench.fixed})
    for values in (bench.array, VALUES.reshape(16, 16) + 1, bench.array[:2]):
        address, found = bench.placed(inputs, values)
        assert address == bench.fixed.address
        assert np.array_equal(found, np.asarray(values))
    with pytest.raises(EngineError, match=r"x of shape \[257\] exceeds its 1024 bytes"):
        bench.placed(inputs, np.zeros(257, np.float32))


def test_who_owns_the_memory_is_told_the_last_read_of_each_lane(bench: Bench) -> None:
    inputs = bench.staging.EngineInputs(bench.reader)
    (lease,) = bench.staging.leases_of([bench.array])
    for _ in range(3):
        bench.placed(inputs, bench.array)
    assert set(lease.reads) == {bench.reader} and lease.reads[bench.reader].done
    other = bench.lanes.lane(Lane.REASON)
    last = other.submit(lambda _: None, inputs=[lease])
    # A launch that failed may have given the device a part of its work.
    with pytest.raises(ValueError, match="refused"):
        bench.reader.submit(lambda _: refuse(), inputs=[lease])
    assert lease.reads[other] is last
    assert not lease.reads[bench.reader].done


def refuse() -> None:
    """A launch that fails."""
    raise ValueError("refused")
