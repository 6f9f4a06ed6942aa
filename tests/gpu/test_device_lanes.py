"""Lanes on a real device: what one stream writes, another reads after its ticket."""

from __future__ import annotations

import numpy as np
import pytest

from omnilive.lanes import Lane

ROUNDS = 200
COUNT = 1 << 20


def test_a_ticket_orders_work_of_two_streams_without_the_host() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    from omnilive.backends.cuda import DeviceBuffer, InputBuffer
    from omnilive.backends.cuda_lanes import DeviceLanes

    lanes = DeviceLanes()
    nbytes = 4 * COUNT
    source, target = InputBuffer(nbytes), DeviceBuffer(nbytes)
    found = np.empty(COUNT, np.float32)
    for i in range(ROUNDS):
        values = np.full(COUNT, i, np.float32)
        written = lanes.submit(Lane.SEE, lambda s, v=values: s.upload(v, source))
        copied = lanes.submit(
            Lane.REMEMBER,
            lambda s: s.copy_rows(
                target.address, nbytes, source.address, nbytes, width=nbytes, rows=1
            ),
            after=[written],
        )
        read = lanes.submit(Lane.SPEAK, lambda s: s.download(target, found), after=[copied])
        assert read is not None
        read.wait()
        assert (found == i).all()
