"""Arrays on a device: whatever is done with them is what NumPy does with their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnilive.lanes import Lane
from ort_cuda_fake import TracedCuda, loaded


class Device:
    """Puts values on the fake device."""

    def __init__(self, cuda: TracedCuda, modules: dict[str, Any]) -> None:
        self.cuda = cuda
        self.arrays = modules["device_array"]
        self.leases = modules["device_ticket"]
        self.lane = modules["cuda_lanes"].DeviceLanes().lane(Lane.SEE)
        self.given_back: list[Any] = []

    def put(self, values: np.ndarray) -> Any:
        """``values`` on the device, written when the stream comes to it."""
        address = self.cuda.cudaMalloc(max(1, values.nbytes))[1]
        raw = np.frombuffer(values.tobytes(), np.uint8)

        def launch(stream: Any) -> None:
            self.cuda.give(stream.handle, lambda: np.copyto(self.cuda.at(address, len(raw)), raw))

        lease = self.leases.Lease(
            self.lane.submit(launch), address, lambda *given: self.given_back.append(given)
        )
        return self.arrays.DeviceArray(
            [self.arrays.Span(lease, address, values.nbytes)], values.shape, values.dtype
        )


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with pytest.MonkeyPatch.context() as monkeypatch, loaded(monkeypatch) as (fake, modules):
        yield Device(fake.cuda, modules)


def numbers(shape: Sequence[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


CUT = st.tuples(st.integers(-8, 8), st.integers(-8, 8))
STEP = st.one_of(
    st.tuples(st.just("slice"), CUT),
    st.tuples(st.just("join"), st.tuples(st.integers(0, 4), st.booleans())),
)


@given(rows=st.integers(1, 6), steps=st.lists(STEP, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_slices_and_joins_are_those_of_numpy_and_cost_nothing(
    device: Device, rows: int, steps: list[tuple[str, Any]]
) -> None:
    expected = numbers((rows, 2, 3), 0)
    found = device.put(expected)
    before = len(device.cuda.trace)
    for seed, (kind, detail) in enumerate(steps):
        if kind == "slice":
            found, expected = found[slice(*detail)], expected[slice(*detail)]
        else:
            count, on_device = detail
            other = numbers((count, 2, 3), seed + 1)
            found = np.concatenate([found, device.put(other) if on_device else other])
            expected = np.concatenate([expected, other])
    assert isinstance(found, device.arrays.DeviceArray)
    assert (found.shape, found.dtype, len(found)) == (expected.shape, np.float32, len(expected))
    assert device.cuda.trace[before:] == []
    assert np.array_equal(np.asarray(found), expected)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x[0],
        lambda x: x[-1],
        lambda x: x[::2],
        lambda x: x[np.array([2, 0])],
        lambda x: x[1, 2],
        lambda x: x[:, 1],
        lambda x: x * 2 + x,
        lambda x: 1.0 - x,
        lambda x: x @ x.T,
        lambda x: x > 0,
        lambda x: np.exp(x).sum(),
        lambda x: np.isfinite(x).all(),
        lambda x: np.stack([x, x, x]),
        lambda x: np.stack([x, x], axis=1),
        lambda x: np.concatenate([x, x], axis=1),
        lambda x: x.reshape(3, 4).transpose(),
        lambda x: x.astype(np.float64),
        lambda x: np.array(x, np.float32, order="C", copy=True),
        lambda x: np.linalg.norm(x),
        lambda x: x.mean(axis=0),
        lambda x: float(x[0, 0]),
        lambda x: [len(row) for row in x],
    ],
)
def test_everything_else_is_what_numpy_makes_of_the_values(
    device: Device, use: Callable[[Any], Any]
) -> None:
    values = numbers((4, 3), 7)
    found, expected = use(device.put(values)), use(values)
    assert np.array_equal(np.asarray(found), np.asarray(expected))
    assert np.asarray(found).dtype == np.asarray(expected).dtype


@pytest.mark.parametrize("key", [4, -5])
def test_a_row_that_is_not_there_is_an_error(device: Device, key: int) -> None:
    with pytest.raises(IndexError):
        device.put(numbers((4, 3), 0))[key]


def test_a_host_part_is_as_it_was_when_it_was_joined(device: Device) -> None:
    values = numbers((2, 3), 0)
    joined = np.concatenate([values, device.put(values)])
    kept = values.copy()
    values[:] = 0
    assert np.array_equal(joined, np.concatenate([kept, kept]))


def test_memory_is_given_back_when_the_last_view_goes(device: Device) -> None:
    array = device.put(numbers((4, 3), 0))
    device.given_back.clear()
    row = array[1]
    del array
    assert device.given_back == []
    del row
    assert len(device.given_back) == 1


def test_reading_is_the_only_copy_to_the_host(device: Device) -> None:
    array = device.put(numbers((4, 3), 0))
    device.cuda.trace.clear()
    np.asarray(array[1:3])
    assert device.cuda.trace == ["fetch", "synchronize"]
