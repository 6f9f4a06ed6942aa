"""The native PCM ring against a plain array of everything ever pushed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive._native import PcmRing


@given(
    capacity=st.integers(1, 50),
    pushes=st.lists(st.integers(0, 120), max_size=12),
    data=st.data(),
)
def test_any_held_range_reads_back_what_was_pushed(
    capacity: int, pushes: list[int], data: st.DataObject
) -> None:
    ring = PcmRing(capacity)
    everything = np.arange(sum(pushes), dtype=np.float32)
    at = 0
    for count in pushes:
        ring.push(everything[at : at + count])
        at += count
    assert ring.written == at
    assert len(ring) == min(at, capacity)
    assert ring.oldest == at - len(ring)
    start = data.draw(st.integers(ring.oldest, at))
    count = data.draw(st.integers(0, at - start))
    np.testing.assert_array_equal(ring.read(start, count), everything[start : start + count])


@given(
    written=st.integers(0, 60),
    capacity=st.integers(1, 20),
    start=st.integers(0, 2**63 - 1) | st.integers(0, 70),
    count=st.integers(0, 2**63 - 1) | st.integers(0, 70),
)
def test_a_range_not_wholly_held_is_refused(
    written: int, capacity: int, start: int, count: int
) -> None:
    ring = PcmRing(capacity)
    ring.push(np.zeros(written, np.float32))
    if ring.oldest <= start and start + count <= written:
        assert len(ring.read(start, count)) == count
    else:
        with pytest.raises(ValueError, match="not in the ring, which holds"):
            ring.read(start, count)


def test_a_strided_block_is_pushed_in_its_own_order() -> None:
    ring = PcmRing(8)
    ring.push(np.arange(10, dtype=np.float32)[::-2])
    np.testing.assert_array_equal(ring.read(0, 5), [9, 7, 5, 3, 1])


def test_what_was_read_does_not_change_when_the_ring_goes_on() -> None:
    ring = PcmRing(4)
    ring.push(np.ones(4, np.float32))
    held = ring.read(0, 4)
    ring.push(np.zeros(4, np.float32))
    np.testing.assert_array_equal(held, np.ones(4))


@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_samples_of_another_type_are_refused_not_cast(dtype: type) -> None:
    with pytest.raises(TypeError):
        PcmRing(4).push(np.zeros(4, dtype))


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_ring_without_room_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity"):
        PcmRing(capacity)


def test_negative_positions_are_refused() -> None:
    ring = PcmRing(4)
    with pytest.raises(ValueError, match="start_index must not be negative"):
        ring.read(-1, 1)
    with pytest.raises(ValueError, match="n must not be negative"):
        ring.read(0, -1)


def test_a_reader_beside_a_writer_sees_whole_blocks() -> None:
    ring = PcmRing(1000)
    blocks, size = 300, 100

    def write() -> None:
        for i in range(blocks):
            ring.push(np.full(size, i, np.float32))

    writer = threading.Thread(target=write)
    writer.start()
    start = 0
    while start < blocks * size:
        if start < ring.oldest:  # overtaken: go on with the next block still whole
            start = -(-ring.oldest // size) * size
            continue
        if ring.written < start + size:
            continue
        try:
            block = ring.read(start, size)
        except ValueError:
            assert ring.oldest > start
            continue
        np.testing.assert_array_equal(block, start // size)
        start += size
    writer.join()
