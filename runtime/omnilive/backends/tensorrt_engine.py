"""A stateless engine run by TensorRT: arrays in, arrays on the device out.

Device memory is taken for the largest input seen, not for the largest there may be; a run within
it allocates nothing. It never keeps state between runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy.typing as npt

from omnilive.backends.cuda import Stream
from omnilive.backends.cuda_lanes import DeviceLane
from omnilive.backends.device_array import dense_bytes
from omnilive.backends.output_memory import OutputMemory
from omnilive.backends.staging import EngineInputs, leases_of
from omnilive.backends.tensorrt_runtime import Context, LoadedPlan
from omnilive.errors import EngineError


class TensorrtEngine:
    """One engine on its lane's stream; runs of several threads wait for each other.

    Args:
        plan: the loaded engine, of one profile.
        lane: where it runs.
    """

    def __init__(self, plan: LoadedPlan, lane: DeviceLane) -> None:
        self._plan = plan
        self._lane = lane
        self._context = Context(plan, 0, lane.stream)
        self._inputs = EngineInputs(lane)
        self._outputs = OutputMemory()

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """See ``Engine.run``; results lie on the device until they are read.

        Raises:
            EngineError: a feed is not what the engine takes.
        """
        if set(feeds) != set(self._plan.inputs):
            raise EngineError(
                f"takes {', '.join(self._plan.inputs)}, was given {', '.join(feeds)}",
                where=f"engine {self._plan.name}",
                mend="Check the caller against the manifest.",
            )
        dtypes = self._plan.dtypes
        given = {name: values.astype(dtypes[name], copy=False) for name, values in feeds.items()}
        with self._lane.lock:
            for name, values in given.items():
                self._context.shape(name, values.shape)
            shapes = {name: self._context.shape_of(name) for name in self._plan.outputs}
            taken = {
                name: self._outputs.take(dense_bytes(shape, dtypes[name]))
                for name, shape in shapes.items()
            }

            def launch(_: Stream) -> None:
                for name, address in self._inputs.place(given).items():
                    self._context.bind(name, address)
                for name, (buffer, _reads) in taken.items():
                    self._context.bind(name, buffer.address)
                self._context.enqueue()

            ticket = self._lane.submit(
                launch,
                after=[ticket for _, reads in taken.values() for ticket in reads.values()],
                inputs=leases_of(given.values()),
            )
        found = {
            name: self._outputs.array(buffer, ticket, shapes[name], dtypes[name])
            for name, (buffer, _) in taken.items()
        }
        return cast("dict[str, npt.NDArray[Any]]", found)
